"""Speech emotion recognition for SpeechBrain: lobes, losses and recipes."""

from speechbrain_ser._torch_pair import guard

__version__ = "0.8.0"

guard()

"""What a model folder may be made of: a list, and nothing else is called."""

import importlib

# Of these an encoder's weights come from elsewhere; it is given their place.
PRE_TRAINED = {
    "speechbrain_ser.lobes.speech_encoder.speech_encoder",
    "speechbrain_ser.lobes.ssl.SSLEncoder",
    "speechbrain_ser.lobes.whisper.WhisperEncoder",
}
# The most that numbers may be, by the arguments that take them: they decide the
# memory of features, which no file of weights tells.
MOST = {
    "hop_length": 1000,  # ms
    "n_fft": 1 << 14,
    "n_frames": 1 << 16,
    "n_mels": 1000,
    "num_layers": 100,
    "win_length": 1000,  # ms
}
# Where a pre-trained model lies, which no folder says.
PLACES = ("source", "save_path")
CALLS = PRE_TRAINED | {
    "speechbrain.nnet.containers.LengthsCapableSequential",
    "speechbrain.nnet.containers.Sequential",
    "speechbrain.nnet.linear.Linear",
    "speechbrain.nnet.normalization.LayerNorm",
    "speechbrain_ser.data.functionals.Functionals",
    "speechbrain_ser.data.layer_statistics.LayerStatistics",
    "speechbrain_ser.data.layer_statistics.PooledLayers",
    "speechbrain_ser.lobes.codebook.Codebook",
    "speechbrain_ser.lobes.conv_attention.ConvAttentionEncoder",
    "speechbrain_ser.lobes.domain_norm.DomainBatchNorm",
    "speechbrain_ser.lobes.features.LogMel",
    "speechbrain_ser.lobes.features.LogMelPitchEnergy",
    "speechbrain_ser.lobes.features.Standardisation",
    "speechbrain_ser.lobes.frame_pooling.make_norm",
    "speechbrain_ser.lobes.frame_pooling.make_pooling",
    "speechbrain_ser.lobes.linear_probe.LinearProbe",
    "speechbrain_ser.lobes.local_means.LocalMeans",
    "speechbrain_ser.lobes.local_prototypes.LocalPrototypicalMapping",
    "speechbrain_ser.lobes.logmel.LogMelEncoder",
    "speechbrain_ser.lobes.multitask_head.BLSTMHead",
    "speechbrain_ser.lobes.multitask_head.CosineClassifier",
    "speechbrain_ser.lobes.multitask_head.make_classifier",
    "speechbrain_ser.lobes.pooled_encoder.PooledEncoder",
    "speechbrain_ser.lobes.pooling.MaxPooling",
    "speechbrain_ser.lobes.pooling.StatisticsPooling",
    "speechbrain_ser.lobes.prototypes.PrototypeBank",
    "speechbrain_ser.lobes.speaker_invariant.MEnANClassifier",
    "speechbrain_ser.lobes.speaker_invariant.MEnANEncoder",
    "speechbrain_ser.lobes.utterance_pooling.make_utterance_pooling",
    "torch.nn.BatchNorm1d",
    "torch.nn.Dropout",
    "torch.nn.GELU",
    "torch.nn.Identity",
    "torch.nn.LayerNorm",
    "torch.nn.Linear",
    "torch.nn.ReLU",
    "torch.nn.Sequential",
    "torch.nn.Tanh",
}


def called(name):
    """Imports what a name of `CALLS` says.

    Example
    -------
    >>> called("torch.nn.GELU").__name__
    'GELU'
    """
    if name not in CALLS:
        raise KeyError(name)
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)

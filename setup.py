"""Installs speechbrain_ser."""

import os
import re

from setuptools import find_packages, setup

HERE = os.path.dirname(os.path.abspath(__file__))


def read(name):
    """Returns the text of a file beside this one."""
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        return file.read()


VERSION = re.search(
    r'^__version__ = "(.+)"', read("speechbrain_ser/__init__.py"), re.M
).group(1)

setup(
    name="speechbrain_ser",
    version=VERSION,
    description="Speech emotion recognition for SpeechBrain",
    long_description=read("README.md"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.13",
    packages=find_packages(include=["speechbrain_ser", "speechbrain_ser.*"]),
    install_requires=[
        # torchaudio ends at 2.11 and loads only with a torch of its own build.
        "torch>=2.11,<2.12",
        "torchaudio>=2.11,<2.12",
        "speechbrain>=1.1,<1.2",
        "transformers>=5,<6",
        "hyperpyyaml",
        "sentencepiece",
        "numpy",
        "scipy>=1.15",
        "scikit-learn",
        "soundfile",
        "h5py",
        "safetensors",
        "threadpoolctl",
        "matplotlib",
        "tqdm",
    ],
    extras_require={
        "cluster": ["submitit"],
        "test": ["pytest", "pytest-xdist", "ruff", "submitit", "yamllint"],
    },
    classifiers=[
        "Programming Language :: Python :: 3",
        "Topic :: Multimedia :: Sound/Audio :: Speech",
    ],
)

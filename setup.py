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
    python_requires=">=3.10",
    packages=find_packages(include=["speechbrain_ser", "speechbrain_ser.*"]),
    package_data={"speechbrain_ser.inference": ["ready/*"]},
    entry_points={
        "console_scripts": [
            "ser-label = speechbrain_ser.inference.label:main",
            "ser-export = speechbrain_ser.inference.export:main",
            "ser-evaluate = speechbrain_ser.inference.evaluate:main",
        ]
    },
    install_requires=[
        "torch>=2.8",
        "torchaudio>=2.8",
        "speechbrain>=1.1",
        "transformers>=5",
        "filelock",
        "h5py",
        "hyperpyyaml",
        "matplotlib",
        "numpy",
        "pyyaml",
        "ruamel.yaml",
        "safetensors",
        "scikit-learn",
        "scipy>=1.15",
        "sentencepiece",
        "soundfile",
        "threadpoolctl",
        "tqdm",
    ],
    extras_require={
        "cluster": ["submitit"],
        "opensmile": ["opensmile"],  # free for research alone
        "test": [
            "codespell",
            "onnx",
            "onnxruntime",
            "onnxscript",
            "pytest",
            "pytest-xdist",
            "ruff",
            "submitit",
            "tomli; python_version < '3.11'",  # for codespell
            "yamllint",
        ],
    },
    classifiers=[
        "Programming Language :: Python :: 3",
        "Topic :: Multimedia :: Sound/Audio :: Speech",
    ],
)

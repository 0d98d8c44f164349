"""A small model of every method, as a model folder describes it."""

LOBES = "speechbrain_ser.lobes"


def call(name, *unnamed, **named):
    """Describes a call."""
    told = {"call": name if name.startswith("torch") else f"{LOBES}.{name}"}
    if named:
        told["with"] = named
    if unnamed:
        told["args"] = list(unnamed)
    return told


def encoder(**settings):
    """Describes the small wav2vec 2.0."""
    return call("speech_encoder.speech_encoder", layer=2, **settings)


def told_encoder(source):
    """What a folder says of it."""
    from speechbrain_ser.lobes.speech_encoder import speech_encoder

    made = speech_encoder(source, "unused", layer=2, frozen_layers=1)
    return {
        "name": "small",
        "copied": False,
        "prefix_sha256": made.prefix_digest(),
    }


def model(name, **arguments):
    """Describes a model."""
    return {"model": {"class": name, "with": arguments}, "encoder": None}


def ipr(source):
    """IPR on log-Mel features, whose encoder is trained."""
    return model(
        "IPRModel",
        encoder=call("logmel.LogMelEncoder", n_mels=8, channels=6),
        pooling=call("pooling.StatisticsPooling", statistics="mean_std"),
        classifier=call("torch.nn.Linear", 12, 4),
        prototypes=call("prototypes.PrototypeBank", n_classes=4, dim=12),
    )


def lpmn(source):
    """LPMN on the kept frames of a speech model, a block of which is trained."""
    codebook = call("codebook.Codebook", n_prototypes=5, dim=32)
    return model(
        "LPMNModel",
        encoder=encoder(frozen_layers=1),
        norm=call("frame_pooling.make_norm", dim=32),
        pooling=call(
            "frame_pooling.make_pooling", kind="lpmn", codebook=codebook
        ),
        classifier=call("torch.nn.Linear", 5, 4),
        regressor=call("torch.nn.Linear", 5, 1),
        kept=True,
        half=True,
    ) | {"encoder": told_encoder(source)}


def gmp_atl(source):
    """GMP-ATL behind a frozen block."""
    return model(
        "GMPATLModel",
        encoder=encoder(frozen_layers=1),
        head=call(
            "multitask_head.BLSTMHead",
            input_size=32,
            hidden_size=6,
            output_size=7,
        ),
        classifier=call(
            "multitask_head.CosineClassifier", input_size=7, n_classes=4
        ),
        scale=30.0,
        channels=call("features.Standardisation", dim=32),
    ) | {"encoder": told_encoder(source)}


def dann(source):
    """DANN on log-Mel features."""
    return model(
        "DANNModel",
        features=call("features.LogMel", n_mels=8),
        encoder=call(
            "conv_attention.ConvAttentionEncoder",
            n_mels=8,
            n_frames=60,
            filters=5,
            kernel_size=4,
            stride=2,
            pool_size=5,
        ),
        norm=call("domain_norm.DomainBatchNorm", dim=30, way="bn2"),
        classifier=call("torch.nn.Linear", 30, 4),
        n_frames=60,
        source_standardise=call("features.Standardisation", dim=8),
        standardise=call("features.Standardisation", dim=8),
        dimension="arousal",
    )


def dann_pooled(source):
    """DANN on a layer of a frozen speech model, pooled."""
    from speechbrain_ser.lobes.speech_encoder import speech_encoder

    frozen = {"frozen": True, "weighted": True}
    made = speech_encoder(source, "unused", layer=2, **frozen)
    told = {"name": "small", "copied": False}
    told["prefix_sha256"] = made.prefix_digest()
    pooled = "speechbrain_ser.data.layer_statistics.PooledLayers"
    settings = {"encoder": encoder(**frozen), "layers": [0, 2]}
    return model(
        "DANNModel",
        features={"call": pooled, "with": settings},
        encoder=call("pooled_encoder.PooledEncoder", input_size=64, size=6),
        norm=call("domain_norm.DomainBatchNorm", dim=6, way="bn3"),
        classifier=call("torch.nn.Linear", 6, 4),
        n_frames=None,
        source_standardise=call("features.Standardisation", dim=64),
        standardise=call("features.Standardisation", dim=64),
        dimension="arousal",
    ) | {"encoder": told}


def menan(source):
    """MEnAN on features with pitch."""
    return model(
        "MEnANModel",
        features=call("features.LogMelPitchEnergy", n_mels=8),
        encoder=call(
            "speaker_invariant.MEnANEncoder",
            n_features=11,
            channels=6,
            kernel_sizes=[10, 5],
            stride=2,
        ),
        classifier=call(
            "speaker_invariant.MEnANClassifier", n_classes=4, input_size=18
        ),
        n_frames=120,
        standardise=call("features.Standardisation", dim=11),
    )


def joint(source):
    """The parts together on log-Mel features."""
    return model(
        "JointModel",
        features=call("features.LogMel", n_mels=8),
        channels=call("features.Standardisation", dim=8),
        pooling=call(
            "utterance_pooling.make_utterance_pooling",
            kind="local_means",
            dim=8,
            n_prototypes=3,
        ),
        projection=call("torch.nn.Linear", 24, 5),
        classifier=call(
            "multitask_head.make_classifier",
            loss="am_softmax",
            input_size=5,
            n_classes=4,
        ),
        scale=10.0,
        standardise=call("features.Standardisation", dim=24),
    )


def probe(source):
    """The probe of layers of a frozen speech model, by speaker."""
    from speechbrain_ser.lobes.speech_encoder import speech_encoder

    frozen = {"frozen": True, "weighted": True}
    made = speech_encoder(source, "unused", layer=2, **frozen)
    told = {"name": "small", "copied": False}
    told["prefix_sha256"] = made.prefix_digest()
    statistics = "speechbrain_ser.data.layer_statistics.LayerStatistics"
    return model(
        "ProbeModel",
        features={"call": statistics, "with": {"encoder": encoder(**frozen)}},
        probe=call(
            "linear_probe.LinearProbe",
            n_rows=3,
            dim=32,
            n_classes=4,
            n_chosen=2,
        ),
        channels=32,
        by="speaker",
    ) | {"encoder": told}


KINDS = {
    "IPR": ipr,
    "LPMN": lpmn,
    "GMP-ATL": gmp_atl,
    "DANN": dann,
    "DANN, pooled": dann_pooled,
    "MEnAN": menan,
    "joint": joint,
    "probe": probe,
}

"""Presets: sizes to the last digit, bitrates, and JSON there and back."""

import json
import math

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from q2d2 import allocations
from q2d2.baselines import RVQConfig, VQConfig
from q2d2.codec import Codec, CodecConfig
from q2d2.grid import RectangularGrid, RegularHexagonalGrid, RhombicGrid
from q2d2.presets import ABLATIONS, ALLOCATIONS, BASE, PRESETS, TABLES, find
from q2d2.refinement import Refinement
from q2d2.seanet import SEANetConfig

# Encoder, quantizer, decoder. Those of the paper's presets are sums of the pieces that `test_seanet` and `test_vocos`
# compare with the reference: 8,802,816 and 8,303,104 in SEANet, plus or minus the taps of other strides; 61,961,472 in
# Vocos, less 13 x 4,608 for its meaningless "bandwidth ids", plus a head of 769 (4 hop + 2). Q2D2's two linear layers
# are 512 x 6 + 6 and 6 x 512 + 512, FSQ's the same with 5; a VQ's codebook follows averages and has no gradients.
PARAMETERS = {
    "speech": (3_161_536, 49_658, 6_809_746),
    "speech-live": (859_888, 11_716, 1_583_970),
    "paper-1k": (8_299_008, 6_662, 63_287_306),
    "paper-3k": (8_196_608, 6_662, 62_346_050),
    "paper-7k": (8_192_512, 6_662, 62_124_578),
    "wavtokenizer-75": (8_802_816, 0, 62_887_426),
    "wavtokenizer-40": (8_303_104, 0, 63_748_706),
    "fsq-75": (8_802_816, 5_637, 62_887_426),
}
BITRATES_BPS = {
    ("speech", "1k"): 1439,
    ("speech", "3k"): 4013,
    ("speech", "7k"): 7696,
    ("speech-live", "1k"): 1026,
    ("speech-live", "3k"): 3323,
    ("speech-live", "7k"): 6769,
    ("paper-1k", None): 1026,
    ("paper-3k", None): 3333,
    ("paper-7k", None): 6923,
    ("wavtokenizer-75", None): 900,
    ("wavtokenizer-40", None): 480,
    ("fsq-75", None): 907,
}


def codec(name: str) -> Codec:
    with torch.device("meta"):  # shapes without storage
        return Codec(PRESETS[name])


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_to_the_last_digit(name):
    made = codec(name)
    assert (count(made.encoder), count(made.quantizer), count(made.decoder)) == PARAMETERS[name]
    assert count(made) == sum(PARAMETERS[name])


@pytest.mark.parametrize(
    "name", [name for name in PARAMETERS if name not in ("speech", "speech-live", "paper-1k", "paper-3k", "paper-7k")]
)
def test_published_sizes_of_wavtokenizer(name):
    """71,750,146 and 72,111,714 in the released models, which condition 13 norms on the bandwidth ids."""
    published = {320: 71_750_146, 600: 72_111_714}[codec(name).hop]
    encoder, quantizer, decoder = PARAMETERS[name]
    assert encoder + decoder == published - 13 * (2 * 4 * 768 - 2 * 768)


def test_speech_is_small():
    assert sum(PARAMETERS["speech"]) == 10_020_940
    float16_bytes = 2 * sum(value.numel() for value in codec("speech").state_dict().values())
    assert float16_bytes < 20 * 2**20


@pytest.mark.parametrize(("name", "rate"), BITRATES_BPS)
def test_bitrates(name, rate):
    made = codec(name)
    assert made.bitrate_bps(rate) == pytest.approx(BITRATES_BPS[name, rate], rel=1e-3)
    assert made.bitrate_bps(rate) == made.frame_rate_hz * sum(
        math.log2(points) for points in made.quantizer.points[: made.num_pairs(rate)]
    )


@pytest.mark.parametrize(("name", "hop"), [("speech", 450), ("paper-1k", 450), ("paper-3k", 144), ("paper-7k", 72)])
def test_hops(name, hop):
    made = codec(name)
    assert made.hop == made.encoder.hop == made.decoder.hop == hop
    assert made.frame_rate_hz == pytest.approx(24_000 / hop)
    if isinstance(made.config.encoder, SEANetConfig):
        assert math.prod(made.config.encoder.strides) == hop


def test_allocations_are_read_as_they_are_written():
    assert allocations.parse("R13x9 2*S3x2>0 H4x5") == (
        RhombicGrid((13, 9)),
        Refinement(0, RectangularGrid((3, 2))),
        Refinement(1, RectangularGrid((3, 2))),
        RegularHexagonalGrid((4, 5)),
    )
    for wrong in ("Q3x3", "R3", "R3x3>", "2*", "R3x3,"):
        with pytest.raises(ValueError, match="is no pair: write R13x9"):
            allocations.parse(f"S2x2 {wrong}")


def test_rates_of_speech_are_prefixes_of_one_list_of_pairs():
    made = codec("speech")
    assert {name: made.num_pairs(name) for name in made.config.rates} == {"1k": 6, "3k": 20, "7k": 48}
    assert made.num_pairs() == 48 == made.quantizer.num_pairs
    assert made.quantizer.points[:6] == (213, 48, 30, 12, 9, 4)
    assert codec("speech-live").quantizer.points == (85,) * 3 + (145,) * 15
    assert made.num_pairs(5) == 5  # any prefix is a rate


def test_the_local_presets_are_speech_its_miniature_and_those_with_its_networks():
    assert [name for name in PRESETS if codec(name).is_local] == [
        "speech",
        "speech-live",
        "tiny",
        *(config.name for config in (*BASE, *ALLOCATIONS)),
    ]
    assert count(codec("tiny")) < 30_000


@pytest.mark.parametrize("name", PRESETS)
def test_json_round_trip(name):
    adapter = TypeAdapter(CodecConfig)
    text = adapter.dump_json(PRESETS[name], indent=1)
    assert adapter.validate_json(text, strict=True, extra="forbid") == PRESETS[name]
    assert json.loads(text)["name"] == name == PRESETS[name].name


# Bits per frame of the ablations: sums of log2 of the points that the grids have, counted by hand. Rectangles and
# staggered rows l1 l2, rhombic grids l1 l2 + (l1 - 1)(l2 - 1), body-centred cubes l^3 + (l - 1)^3.
ABLATION_POINTS = {
    "grid-rectangular-7": (49,) * 3,
    "grid-hexagonal-7": (49,) * 3,
    "grid-rectangular-9": (81,) * 3,
    "grid-hexagonal-9": (81,) * 3,
    "grid-regular-hexagonal-9": (81,) * 3,
    "grid-bcc-8": (855,) * 2,
    "fsq-9": (9,) * 6,
    "rvq-2x768": (768,) * 2,
    "identity": (),
    "dimensions-4": (685,) * 2,
    "dimensions-8": (41, 41, 23, 13),
    "levels-9": (145,) * 3,
    "levels-11": (221,) * 3,
    "projection-linear": (49,) * 3,
    "projection-layernorm": (49,) * 3,
    "offset-half": (49,) * 3,
    "offset-none": (49,) * 3,
    "bound-extent": (85,) * 3,
    "midpoints-full": (98,) * 3,
    "gradient-rotation": (85,) * 3,
    "gradient-noise": (85,) * 3,
    "official": (85,) * 3,
}


def test_ablations_are_all_here():
    assert list(ABLATION_POINTS) == [config.name for config in ABLATIONS]


@pytest.mark.parametrize("name", ABLATION_POINTS)
def test_points_of_the_ablations(name):
    assert codec(name).quantizer.points == ABLATION_POINTS[name]
    twins = ("grid-rectangular-9", "grid-hexagonal-9", "grid-regular-hexagonal-9", "grid-bcc-8", "fsq-9", "rvq-2x768")
    if name in twins or name.startswith("dimensions"):
        assert codec(name).quantizer.bits_per_frame == pytest.approx(
            codec("paper-1k").quantizer.bits_per_frame, rel=0.021
        )


BASE_POINTS = {
    "base-rhombic": (85,) * 2,
    "base-rectangular": (81,) * 2,
    "base-hexagonal": (81,) * 2,
    "base-regular-hexagonal": (81,) * 2,
    "base-fsq": (9,) * 4,
    "base-vq": (7225,),
    "base-rvq": (85,) * 2,
    "base-identity": (),
}


def test_the_base_models_differ_in_the_quantizer_alone_and_have_the_same_bits():
    assert {config.name: codec(config.name).quantizer.points for config in BASE} == BASE_POINTS
    assert len({(config.encoder, config.decoder, tuple(config.rates)) for config in BASE}) == 1
    bits = [math.log2(math.prod(points)) for points in BASE_POINTS.values() if points]
    assert max(bits) / min(bits) < 1.012
    networks = {count(codec(config.name).encoder) + count(codec(config.name).decoder) for config in BASE}
    assert len(networks) == 1
    assert max(count(codec(config.name).quantizer) for config in BASE) < 0.001 * networks.pop()


def test_tables_name_presets_and_leave_no_ablation_out():
    named = {name for names in TABLES.values() for name in names}
    assert named <= set(PRESETS)
    assert named >= {config.name for config in (*ABLATIONS, *BASE)} | {"paper-1k", "paper-3k", "paper-7k"}


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_a_miniature_with_its_tokens(name):
    with torch.device("meta"):
        small, large = Codec(find(f"tiny-{name}")), codec(name)
    assert count(small) < 250_000
    assert (small.hop, small.config.rates) == (large.hop, large.config.rates)
    if not isinstance(large.config.quantizer, VQConfig | RVQConfig):  # a codebook has far fewer codes
        assert small.quantizer.points == large.quantizer.points


def test_a_misspelt_preset_is_told_what_there_is():
    with pytest.raises(ValueError, match="no preset speach: give one of speech, speech-live, tiny"):
        find("speach")

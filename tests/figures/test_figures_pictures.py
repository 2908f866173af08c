"""Each figure from few numbers: it has what it should. Not how it looks."""

import io

import numpy as np
import pytest
from matplotlib.collections import PathCollection, PolyCollection
from PIL import Image

from q2d2 import plotting
from q2d2.analyze import distortion
from q2d2.analyze.dependence import Dependence
from q2d2.evaluate.rows import Row
from q2d2.figures import style
from q2d2.figures.dependence import dependence_figure
from q2d2.figures.grids import SHOWN, SOLIDS, cell_in_space, grids_figure
from q2d2.figures.labels import Named, name_points
from q2d2.figures.measuring import PairDependence, curves
from q2d2.figures.quality import family, left_out, quality_figure
from q2d2.figures.rate_distortion import GAUSSIAN, rate_distortion_figure
from q2d2.figures.tokens import Histogram, tokens_figure
from q2d2.grid import RectangularGrid, RhombicGrid


def texts(axes):
    return [text.get_text() for text in axes.texts]


def titles(figure):
    return [axes.get_title(loc).strip() for axes in figure.axes for loc in ("left", "center") if axes.get_title(loc)]


# -- grids -------------------------------------------------------------------------------------------------------------


def test_grids_have_their_cells_points_and_bits():
    figure = grids_figure()
    assert titles(figure) == [*(name for name, _ in SHOWN), *(name for name, _, _ in SOLIDS)]
    for axes, (_, grid) in zip(figure.axes, SHOWN, strict=False):
        cells, points = axes.collections
        assert isinstance(cells, PolyCollection) and len(cells.get_paths()) == grid.num_points
        assert np.asarray(points.get_offsets()) == pytest.approx(grid.points)
        assert (*axes.get_xlim(), *axes.get_ylim()) == pytest.approx(
            (-grid.half_width[0], grid.half_width[0], -grid.half_width[1], grid.half_width[1])
        )
        assert f"{grid.num_points} points, {np.log2(grid.num_points):.2f} bits" in texts(axes)[0]


@pytest.mark.parametrize(
    ("solid", "corners", "volume"),
    [
        (SOLIDS[0], [4] * 6, 1),  # cube
        (SOLIDS[1], [4] * 6 + [6] * 8, 1 / 2),  # truncated octahedron
        (SOLIDS[2], [4] * 12, 1 / 4),  # rhombic dodecahedron
    ],
)
def test_cells_of_space_are_the_known_solids(solid, corners, volume):
    faces, neighbours = cell_in_space(solid[2])
    assert sorted(map(len, faces)) == corners and len(neighbours) == 1 + len(faces)
    pyramids = 0.0
    for face, neighbour in zip(faces, neighbours[1:], strict=True):
        height = np.linalg.norm(neighbour) / 2
        assert face @ neighbour / np.linalg.norm(neighbour) == pytest.approx([height] * len(face))
        fan = np.cross(face[1:-1] - face[0], face[2:] - face[0])  # corners run around the face
        pyramids += np.linalg.norm(fan, axis=1).sum() / 2 * height / 3
    assert pyramids == pytest.approx(volume)


# -- dependence --------------------------------------------------------------------------------------------------------


def test_dependence_has_every_pair_before_and_after():
    pairs = [
        PairDependence(
            RhombicGrid((3, 3)),
            *(Dependence(bits + pair / 10, bits / 2, bits / 2 + 0.01, 0.1, 99, 20) for bits in (0.1, 1.0, 0.05)),
            0.9,
        )
        for pair in range(3)
    ]
    above, below = dependence_figure(pairs, "tiny, 2 clips").axes
    shown = {line.get_label(): line.get_ydata() for axes in (above, below) for line in axes.get_lines()}
    assert shown["before quantization"] == pytest.approx([0.1, 0.2, 0.3])
    assert shown["after quantization"] == pytest.approx([1.0, 1.1, 1.2])
    assert shown["after quantization, given the coset"] == pytest.approx([0.05, 0.15, 0.25])
    dashes, bars = above.collections
    assert [segment[0, 1] for segment in dashes.get_segments()] == pytest.approx([0.9] * 3)
    assert [segment[:, 1].tolist() for segment in bars.get_segments()] == [[0.5, 0.51]] * 3
    assert below.get_xlabel() == "pair" and {above.get_ylabel(), below.get_ylabel()} == {"bits"}
    assert "tiny, 2 clips" in above.get_title("left") and "20 surrogates" in above.figure.get_supxlabel()


# -- rate and distortion -----------------------------------------------------------------------------------------------


def test_rate_distortion_has_every_source_and_tiling():
    sources = {GAUSSIAN: distortion.gaussian(300), "uniform samples": distortion.uniform(300)}
    found = curves(sources, bits=(2.0, 2.5))
    figure = rate_distortion_figure(found)
    assert titles(figure) == list(sources)
    (gaussian, uniform, gains, _), source = figure.axes, found[0]
    lines = {line.get_label(): line for line in gaussian.get_lines()}
    assert set(lines) == {*(look.name for look in style.TILINGS.values()), "Shannon's bound"}
    assert "Shannon's bound" not in {line.get_label() for line in uniform.get_lines()}
    assert lines["BCC (3-D)"].get_ydata() == pytest.approx([point.snr_db for point in source.tilings["bcc"]])
    x, y = lines["Shannon's bound"].get_data()
    assert np.asarray(y) == pytest.approx(np.asarray(x) * 6.0206, rel=1e-4)
    theory = [bar.get_segments()[0][0, 1] for bar in gains.collections]
    assert theory == pytest.approx([0, 0.138, 0.167, 0.258, 0.246], abs=2e-3)
    assert gains.get_xlabel() == "bits per dimension" and "dB" in gains.get_ylabel() and "dB" in gaussian.get_ylabel()


# -- tokens ------------------------------------------------------------------------------------------------------------


def test_tokens_have_cells_and_crosses_on_dead_points():
    uniform = Histogram(RhombicGrid((2, 2)), np.array([4000] * 5))
    dead = Histogram(RectangularGrid((2, 3)), np.array([800, 0, 800, 0, 0, 0]))
    figure = tokens_figure([uniform, dead], "tiny")
    for axes, histogram in zip(figure.axes, (uniform, dead), strict=False):
        [cells] = axes.collections
        assert len(cells.get_paths()) == histogram.grid.num_points
        [crosses] = axes.get_lines()
        assert np.stack(crosses.get_data(), 1) == pytest.approx(histogram.grid.points[histogram.counts == 0])
    assert texts(figure.axes[0]) == ["100 % used, 2.32 of 2.32 bits"]
    assert texts(figure.axes[1]) == ["33 % used, 1.00 of 2.58 bits"]
    assert np.asarray(figure.axes[0].collections[0].get_array()) == pytest.approx(np.ones(5))  # equal shares
    assert figure.axes[1].collections[0].get_array().mask.tolist() == [False, True, False, True, True, True]


# -- quality -----------------------------------------------------------------------------------------------------------


def row(clip, system, payload_bytes, tokens, pesq, mos=None):
    scores = {"pesq_wb": pesq, "stoi": 0.9, "of another release": 1.0} | ({} if mos is None else {"distill_mos": mos})
    return Row(clip, system, 2.0, 24_000, payload_bytes, payload_bytes, tokens, 0.0, scores)


ROWS = [
    *(row(clip, "original", None, None, 4.6) for clip in "ab"),
    *(row(clip, "tiny 1k", 250, 200, pesq) for clip, pesq in (("a", 1.0), ("b", 2.0))),
    *(row(clip, "tiny 3k", 750, 600, 2.5) for clip in "ab"),
    *(row(clip, "opus-6", 1500, None, 2.0) for clip in "ab"),
    *(row(clip, "demo page", None, None, 3.0) for clip in "ab"),
]


def test_quality_has_every_sized_system_at_its_rate():
    figure = quality_figure(ROWS)
    assert titles(figure) == ["PESQ-WB ↑", "STOI ↑"]
    axes = figure.axes[0]
    assert axes.get_xscale() == "log" and axes.get_xlabel() == "kbit/s"
    assert sorted(texts(axes)) == ["opus-6", "tiny 1k", "tiny 3k"]
    places = {text.get_text(): text.xy for text in axes.texts}
    assert places == {
        "tiny 1k": pytest.approx((1.0, 1.5)),
        "tiny 3k": pytest.approx((3.0, 2.5)),
        "opus-6": pytest.approx((6.0, 2.0)),
    }
    [joined] = [line for line in axes.get_lines() if line.get_linestyle() != "None" and len(line.get_xdata()) == 2]
    assert np.asarray(joined.get_xdata()) == pytest.approx([1, 3])
    dots = [part for part in axes.collections if isinstance(part, PathCollection) and part.get_offsets().size]
    areas = [float(dot.get_sizes()[0]) for dot in dots]
    assert areas[1] == pytest.approx(3 * areas[0])  # 100 and 300 tokens a second
    fills = [dot.get_facecolor()[0, :3].tolist() == [1, 1, 1] for dot in dots]
    assert fills == [False, False, True]  # Opus has none
    assert left_out(ROWS) == ["demo page is not in the quality figure: its size is not known"]


def test_names_without_their_rates():
    systems = ("speech 3k", "opus-6", "encodec-1.5", "codec2-3200", "base-fsq", "snac", "paper")
    assert [family(name) for name in systems] == ["speech", "opus", "encodec", "codec2", "base-fsq", "snac", "paper"]


def test_rows_without_anything_to_draw_are_refused():
    with pytest.raises(ValueError, match="no system of known size"):
        quality_figure(ROWS[:2])


def test_the_original_is_a_line_where_its_score_is_not_the_perfect_one():
    rows = [row("a", "original", None, None, 4.6, 4.2), row("a", "tiny 1k", 250, 200, 1.0, 3.1)]
    figure = quality_figure(rows)
    lines = {
        axes.get_title("left"): [line for line in axes.get_lines() if line.get_linestyle() == "--"]
        for axes in figure.axes
    }
    assert lines["PESQ-WB ↑"] == [] and [line.get_ydata()[0] for line in lines["Distill-MOS ↑"]] == [4.2]


# -- names of points, and files ----------------------------------------------------------------------------------------


def test_names_cover_neither_each_other_nor_points_nor_the_frame():
    figure = plotting.new_figure(5.0, 4.0)
    axes = figure.subplots()
    places = [(0.5, 0.5), (0.55, 0.5), (0.5, 0.57), (0.97, 0.5), (0.5, 0.98), (0.45, 0.54)]
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    points = [Named(f"a long name {n}", x, y, 4.0, y - 0.01, y + 0.01) for n, (x, y) in enumerate(places)]
    name_points(figure, [(axes, points)])
    assert [text.get_text() for text in axes.texts] == [point.name for point in points]
    boxes = [text.get_window_extent() for text in axes.texts]
    frame = axes.get_window_extent()
    for n, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:n])
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
        assert not any(box.contains(*axes.transData.transform(place)) for place in places)


def test_files_are_small_and_the_same_each_time(tmp_path):
    first = {path: path.read_bytes() for path in style.save(grids_figure(), tmp_path / "grids")}
    assert [path.name for path in first] == ["grids.png", "grids.pdf"]
    image = Image.open(io.BytesIO(first[tmp_path / "grids.png"]))
    assert image.mode == "P" and image.size[0] > 1000 and image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    assert all(len(data) < 250_000 for data in first.values())
    style.save(grids_figure(), tmp_path / "grids")
    assert all(path.read_bytes() == data for path, data in first.items())

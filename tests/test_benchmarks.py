"""`make bench` runs, and what it writes can be read by others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NUMBERS = ("median", "wall_s", "cpu_s", "memory_mb", "children_mb")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A scratch folder in which tiny clips stand for those of 360p and 720p."""
    from avel_tf.synthesis.dataset import SynthesisSettings, make_dataset

    folder = tmp_path_factory.mktemp("scratch")
    tiny = SynthesisSettings(seconds=10, width=64, height=48, frame_rate=16.0)
    for height in (360, 720):
        into = folder / "clips" / f"{height}p"
        make_dataset(into, train=1, validation=0, test=0, settings=tiny, workers=1)
    return folder


@pytest.mark.slow
def test_a_quick_run_writes_json_and_a_table(scratch):
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), "--quick"]
    command += ["--scratch", str(scratch), "--out", str(scratch / "out")]
    done = subprocess.run(
        [*command, "--only", "matmul,decode"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads((scratch / "out" / "results.json").read_text())
    assert results["machine"]["cores"] >= 1
    decode = results["contests"]["decode, 360p, 16 frames/s"]
    assert set(decode) == {"avel-tf, isolated", "avel-tf, in this process", "PyAV", "OpenCV"}
    for row in decode.values():
        assert all(row[key] >= 0 for key in NUMBERS), row
        assert len(row["rates"]) == results["rounds"] == 1
    assert decode["avel-tf, isolated"]["children_mb"] > 0
    assert decode["PyAV"]["children_mb"] == 0
    assert results["peaks"]["float32"] > 0
    table = (scratch / "out" / "results.md").read_text()
    assert all(f"\n## {name}\n" in table for name in results["contests"])


def test_what_is_not_installed_is_a_row_that_says_so(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from plan import Case, Contest
    from run import measure

    cases = [
        Case("PyTorch", "clips", ("peer.py",), {"case": "pipeline"}, peer=True),
        Case("OpenVINO", "clips", ("ours.py", "openvino"), {"case": "pipeline"}),
    ]
    rows = measure(Contest("pipeline", "pipeline", cases), None, 3, installed={"tensorflow"})
    assert rows["PyTorch"]["absent"] == "torch is not installed"
    assert rows["OpenVINO"]["absent"] == "openvino is not installed"


def test_a_kind_that_there_is_not_is_refused(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from run import main

    monkeypatch.setattr(sys, "argv", ["run.py", "--only", "decod"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "decode" in capsys.readouterr().err


def test_later_rounds_are_left_out_when_time_is_short(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from plan import Case, Contest
    from run import measure

    class Answers:
        def ask(self, case):
            return dict.fromkeys(("amount", "wall_s", "cpu_s", "memory_mb", "children_mb"), 1.0)

    contest = Contest("decode", "decode", [Case("a", "clips", ("a.py",), {})])
    assert len(measure(contest, Answers(), 3, set(), seconds=0.0)["a"]["rates"]) == 1
    assert len(measure(contest, Answers(), 3, set(), seconds=1_000.0)["a"]["rates"]) == 3


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("precisions", [("float32",), ("bfloat16", "float32")])
def test_cases_compute_only_in_the_precisions_of_the_machine(monkeypatch, precisions, int8):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from plan import FULL, KINDS, contests

    def clips(height, count):
        return [f"{height}/{number}.mp4" for number in range(count)]

    planned = list(contests(KINDS, clips, FULL, 2, {}, precisions, int8=int8))
    # Products of matrices in int8 are on every machine: they show what quantization could give.
    words = {
        word
        for contest in planned
        for case in contest.cases
        if not case.peer and contest.kind != "matmul"
        for word in (*case.worker, case.request.get("precision"))
    }
    assert words & {"float32", "bfloat16", "int8"} == {*precisions, *["int8"] * int8}


def test_slower_processors_get_less_work(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from plan import FULL

    half, none = FULL.scaled(0.5), FULL.scaled(0.0)
    assert half.clips == {1: 16, 16: 2} and half.images == 48
    assert none.clips == {1: 2, 16: 1} and none.slow_clips == {1: 1, 16: 1} and none.images == 32
    assert half.decoded == FULL.decoded  # has no networks


@pytest.mark.parametrize(
    ("flags", "precision", "expected"),
    [
        (["avx2"], "float32", "AVX2"),
        (["avx2"], "int8", "AVX2"),
        (["avx2", "avx512f", "avx512_vnni"], "float32", "AVX-512"),
        (["avx2", "avx512f", "avx512_vnni"], "int8", "AVX512-VNNI"),
        (["avx2", "avx512f", "avx512_bf16", "amx_bf16"], "bfloat16", "AMX-BF16"),
    ],
)
def test_the_instruction_set_of_a_peak(monkeypatch, flags, precision, expected):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from machine import instruction_set

    assert instruction_set(flags, precision) == expected


def test_rooflines_and_ratios(monkeypatch):
    """A pipeline that is exactly at its limit, on two cores, and twice as fast as its rival."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from report import row_of, summarize

    def row(label, unit, rate, cpu_s):
        sample = {"amount": 8.0, "wall_s": 8.0 / rate, "cpu_s": 8.0 * cpu_s}
        return {label: row_of(label, unit, [sample | {"memory_mb": 1.0, "children_mb": 0.0}] * 3)}

    engine = "avel-tf, openvino bfloat16"
    found = {
        "matmul": row("openvino bfloat16", "GFLOP", 2_000.0, 0.0),
        "bare network, images": row("openvino bfloat16", "images", 100.0, 0.02),
        "bare network, sounds": row("openvino bfloat16", "patches", 100.0, 0.02),
        "embed, 1 frame/s": row(engine, "images", 45.0, 0.04),
        "decode, 360p, 1 frame/s": row("avel-tf, isolated", "clips", 10.0, 0.1),
        # A clip: 0.1 s of decoding and 10 x 0.04 s of embedding, on two cores.
        "pipeline, 360p, 1 frame/s": row(engine, "clips", 4.0, 0.5)
        | row("PyTorch bfloat16", "clips", 2.0, 1.0),
    }
    summary = summarize(found, {"image": 9_000_000_000, "second of sound": 1_000_000_000}, cores=2)
    (roofline,) = summary["rooflines"]
    assert roofline["matmul peak"] == pytest.approx(20.0)  # 100 GFLOP a clip
    assert roofline["embed alone"] == pytest.approx(4.5)
    assert roofline["shared cores"] == pytest.approx(4.0)
    assert roofline["of the lowest"] == pytest.approx(1.0)
    assert summary["peaks"] == {"bfloat16": pytest.approx(2_000.0)}
    stages = {(each["contest"], each["label"]): each for each in summary["stages"]}
    embed = stages["embed, 1 frame/s", engine]
    assert embed["gflops"] == pytest.approx(450.0)  # 45 images of 10 GFLOP
    assert embed["of the peak"] == pytest.approx(0.225)
    assert embed["processors"] == pytest.approx(0.9)  # 45 times 0.04 s on two cores
    decode = stages["decode, 360p, 1 frame/s", "avel-tf, isolated"]
    assert decode["processors"] == pytest.approx(0.5)
    assert decode["gflops"] is decode["of the peak"] is None
    (ratio,) = summary["ratios"]
    assert ratio["ratio"] == pytest.approx(2.0)
    from side_by_side import side_by_side

    machine = {"processor": "Some CPU", "date": "2026-11-30", "flags": ["avx2", "avx512_bf16"]}
    machine["family, model, stepping"] = ["25", "17", "1"]
    table = side_by_side([{"machine": machine, "contests": found, **summary}] * 2)
    assert "| Some CPU (family 25, model 17), AVX512-BF16 |" in table
    assert (
        "| matrix products, bfloat16, GFLOP/s | 2000 (AVX512-BF16) | 2000 (AVX512-BF16) |" in table
    )
    assert "1 frame/s: times PyTorch | 2.00 | 2.00 |" in table
    bound = "100% (openvino bfloat16)"
    assert f"1 frame/s: of the lowest bound | {bound} | {bound} |" in table
    (share,) = summary["embed_against_bare"]
    assert share["share"] == pytest.approx(0.9)  # an image and a patch in 0.02 s: 50 a second


@pytest.mark.slow
def test_our_stages_do_what_is_asked(tmp_path, scratch, exported):
    """A small model stands for one with random weights."""
    (tmp_path / "models" / "compact-f2").mkdir(parents=True)
    (tmp_path / "models" / "compact-f2" / "1").symlink_to(exported)
    video = next((scratch / "clips" / "360p" / "videos").rglob("*.mp4"))
    requests = [
        {"case": "pipeline", "paths": [str(video)]},
        {"case": "embed", "images": 20},
        {"case": "predict", "clips": 8, "batch": 4},
    ]
    command = [sys.executable, str(ROOT / "benchmarks" / "ours.py"), str(tmp_path)]
    done = subprocess.run(
        [*command, "tensorflow", "float32", "2", "compact"],
        input="".join(json.dumps(each) + "\n" for each in requests),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert [json.loads(line)["amount"] for line in done.stdout.splitlines()] == [1, 20, 8]

"""The pictures on which engines are proven."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from avel_tf.datasets import load_dataset
from avel_tf.embeddings.recipe import VisualRecipe
from avel_tf.engines.sample import FILES, sample_clips
from avel_tf.video import decode
from avel_tf.video.decode_settings import DecodeSettings
from avel_tf.video.isolated.decoder import IsolatedDecoder

VISUAL = VisualRecipe("module", "0" * 64, frames_per_second=2, size=32, width=8)
RECIPE = SimpleNamespace(visual=VISUAL)


@pytest.fixture
def decoder(monkeypatch):
    with IsolatedDecoder() as decoder:
        monkeypatch.setattr(decode, "shared_decoder", lambda: decoder)
        yield decoder


@pytest.mark.parametrize("isolated", [True, False])
def test_they_are_read_by_a_child_whatever_the_settings_say(clips, tmp_path, decoder, isolated):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no film")
    paths = [broken, *(video.path for video in load_dataset(clips).videos)]
    found = sample_clips(paths, RECIPE, DecodeSettings(isolated=isolated))
    assert [clip.frames.shape for clip in found] == [(2, 2, 32, 32, 3)] * FILES
    assert decoder.idle_pids


def test_without_children_there_are_none(clips, decoder, monkeypatch, caplog):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    paths = [video.path for video in load_dataset(clips).videos]
    assert sample_clips(paths, RECIPE, DecodeSettings(isolated=False)) == []
    assert "Engines are not verified" in caplog.text

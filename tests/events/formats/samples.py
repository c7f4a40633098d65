"""Results with names, labels and reasons that a careless writer would trip over."""

from __future__ import annotations

import os

from avel_tf.events.event import Event
from avel_tf.events.result import Result, Segment

HOSTILE_NAMES = [
    "/videos/dog.mp4",
    "videos/dog.mp4",
    "-video-with-dash-.mp4",
    '=HYPERLINK("http://evil.example","dog").mp4',
    "+1.mp4",
    "@SUM(A1).mp4",
    "＝1.mp4",
    "'quoted'.mp4",
    'say "woof", dog.mp4',
    "two\nlines\r\n.mp4",
    "\ttab.mp4",
    "../../etc/passwd",
    "a/../../../b.mp4",
    "..",
    "/",
    "...",
    ".hidden.mp4",
    "a-->b<script>&amp;.mp4",
    os.fsdecode(b"dog\xff\xfe.mp4"),
    "x" * 255,
    "ü" * 127 + ".mp4",
    "/".join(["deep" * 20] * 40),
    "Dog.mp4",
    "dog.mp4",
    "DOG.MP4",
    "dog.mp4.vtt",
    "x",
    "x.vtt/y.mp4",
    "caf\u00e9.mp4",
    "cafe\u0301.mp4",
    "\u202egpm.4pm",
    "C:\\videos\\dog.mp4",
    "dog.mp4 ",
]


def hostile_results() -> list[Result]:
    seconds = (Segment(0.0, 1.0, "Bark", 0.9),)
    events = (Event("Fixed-wing aircraft, airplane", 0.0, 1.5, 2 / 3), Event("=1+1", 3600, 3661, 1))
    return [Result(name, "ok", None, 10.0, seconds, events, "demo/1") for name in HOSTILE_NAMES] + [
        Result("quiet.mp4", "ok", "No audio track: silence was assumed.", 3.0, seconds, ()),
        Result("empty.mp4", "quarantined", "The file is\n\nempty --> <b>.", None),
        Result("dog.mp4", "partial", "Listed twice.", 2.0, (), events[:1]),
    ]

"""The model in a process of its own, restarted when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avel_tf.serving.model_connection import (
    ModelConnection,
    ModelDied,
    ModelUnavailable,
)
from avel_tf.serving.model_worker import ModelSpec

logger = logging.getLogger(__name__)

WORKER = "avel_tf.serving.model_worker"
# Pause before the next start of a process that died while it loaded its model.
_RESTART_SECONDS = 5.0


class ModelProcess:
    """The model process of a server; for one event loop.

    The process loads one engine and answers requests. When it dies, by whatever cause, it is
    started again, and each request in hand is repeated once; a prediction once more for each file
    that may have been the cause. Nothing else is affected.

    Args:
        spec: The model.
        worker: Module that is run as the process.

    Attributes:
        spec: The present model.
        info: Description of the loaded model, as of `model_worker.describe`; None while it loads.
        error: Sentence if the model cannot be loaded, else None.
        restarts: Number of times that the process was started again after it died.
    """

    def __init__(self, spec: ModelSpec, *, worker: str = WORKER) -> None:
        self.spec = spec
        self.info: dict[str, Any] | None = None
        self.error: str | None = None
        self.restarts = 0
        self._worker = worker
        self._child: ModelConnection | None = None
        self._supervisor: asyncio.Task | None = None
        self._changed = asyncio.Condition()
        self._retries = 0  # predictions that are tried again
        self._file_retries = 0  # files tried again so far
        self._retrying_file = asyncio.Lock()

    @property
    def ready(self) -> bool:
        """True while the process can answer."""
        return self._child is not None and self._child.info is not None

    @property
    def pid(self) -> int | None:
        """Number of the process; None between two of them."""
        return self._child.process.pid if self._child else None

    def start(self) -> None:
        """Start the process; returns at once, while the model is loaded."""
        self._supervisor = asyncio.create_task(self._supervise())

    async def stop(self) -> None:
        """End the process."""
        if self._supervisor:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        if self._child:
            await self._child.stop()
            self._child = None

    async def change(self, spec: ModelSpec) -> None:
        """Load another model, then let it take over. Requests in hand are finished by the former.

        Raises:
            ModelUnavailable: The other model cannot be loaded; the present one stays.
        """
        child = await self._spawn(spec)
        try:
            await child.loaded()
        except ModelDied:
            raise ModelUnavailable("The process of the model died while it was loaded.") from None
        former, self.spec = self._child, spec
        await self._use(child)
        if self._supervisor:
            self._supervisor.cancel()
        self._supervisor = asyncio.create_task(self._supervise())
        if former is not None:
            await former.drained()
            await former.stop()

    async def label_file(
        self,
        path: Path,
        *,
        analysis: Path | None = None,
        lane: str = "job",
        on_progress: Callable[[int], None] | None = None,
        on_retry: Callable[[], None] | None = None,
    ) -> str:
        """Label a file.

        Args:
            path: The file.
            analysis: File to which its analysis is written.
            lane: `job`, or `direct` for a short file that someone waits for; each labels one file
                at a time.
            on_progress: Called with the number of seconds embedded so far.
            on_retry: Called when the process died, before the second attempt.

        Returns:
            JSON line of the result.

        Raises:
            RequestFailed: The file could not be labelled.
            ModelUnavailable: The process died twice, or has no model.
        """
        arguments = {
            "path": str(path),
            "analysis": None if analysis is None else str(analysis),
            "lane": lane,
        }
        return await self._call("label_file", arguments, on_progress, on_retry)

    async def relabel(self, analysis: Path, record: str) -> str:
        """Label a video again from its kept features.

        Args:
            analysis: File of its analysis, which is rewritten.
            record: JSON line of its result by another model of the same features.

        Returns:
            JSON line of the result.

        Raises:
            RequestFailed: The features are of other backbones.
            ModelUnavailable: The process died twice, or has no model.
        """
        arguments = {"path": "", "analysis": str(analysis), "record": record, "lane": "job"}
        return await self._call("label_file", arguments)

    async def described(self) -> dict[str, Any]:
        """Wait until the model is loaded; returns its description, as `info`.

        Raises:
            ModelUnavailable: It cannot be loaded.
        """
        return (await self._ready_child()).info or {}

    async def embed(
        self, frames: np.ndarray, waveform: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Embed seconds: uint8 [N, F, H, W, 3] and float32 [N, 16000] to [N, Dv] and [N, Da]."""
        return await self._predict("embed", (frames, waveform))

    async def label(self, visual: np.ndarray, audio: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Label features: float32 [B, T, Dv], [B, T, Da], bool [B, T] to float32 [B, T, C+1]."""
        return (await self._predict("label", (visual, audio, valid)))[0]

    async def predict(self, frames: np.ndarray, waveform: np.ndarray) -> np.ndarray:
        """Label clips: uint8 [B, T, F, H, W, 3] and float32 [B, T*16000] to [B, T, C+1]."""
        return (await self._predict("predict", (frames, waveform)))[0]

    async def _predict(self, method: str, arrays: Sequence[np.ndarray]) -> Any:
        return await self._call(method, {"arrays": tuple(arrays)})

    async def _call(
        self,
        method: str,
        arguments: dict[str, Any],
        on_progress: Callable[[Any], None] | None = None,
        on_retry: Callable[[], None] | None = None,
    ) -> Any:
        try:
            return await (await self._ready_child()).call(method, arguments, on_progress)
        except ModelDied:
            logger.warning("the model process died during %s, which is tried again", method)
        if on_retry:
            on_retry()
        while True:
            # A prediction may reach the process late, beside a file that is tried again.
            beside, before = self._retrying_file.locked(), self._file_retries
            async with self._retry(method):
                try:
                    return await (await self._ready_child()).call(method, arguments, on_progress)
                except ModelDied:
                    beside = beside or self._file_retries > before
                    if method == "label_file" or not beside:
                        raise ModelUnavailable(
                            "The process of the model died twice while it worked on this request, "
                            "which is not tried again."
                        ) from None

    @contextlib.asynccontextmanager
    async def _retry(self, method: str) -> AsyncIterator[None]:
        """Order retries so that the request that is the cause takes no other along.

        A file is the likely cause. So predictions are tried again first, then one file at a time.
        """
        if method != "label_file":
            self._retries += 1
            try:
                yield
            finally:
                self._retries -= 1
            return
        async with self._retrying_file:
            while self._retries:
                await asyncio.sleep(0.02)
            self._file_retries += 1
            yield

    async def _ready_child(self) -> ModelConnection:
        async with self._changed:
            await self._changed.wait_for(lambda: self.ready or self.error)
        if self._child is None or self._child.info is None:
            raise ModelUnavailable(f"The model cannot be loaded: {self.error}")
        return self._child

    async def _spawn(self, spec: ModelSpec) -> ModelConnection:
        loop = asyncio.get_running_loop()
        starting = asyncio.ensure_future(
            asyncio.to_thread(ModelConnection, spec, self._worker, loop)
        )
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            await (await starting).stop()
            raise

    async def _use(self, child: ModelConnection) -> None:
        async with self._changed:
            self._child = child
            self.info = child.info
            self.error = None
            self._changed.notify_all()

    async def _supervise(self) -> None:
        """Keep a process running."""
        while True:
            if self._child is None:
                child = await self._spawn(self.spec)
                self._child = child
                try:
                    await child.loaded()
                except ModelDied:
                    logger.warning("the model process died while it loaded the model")
                    self._child = None
                    self.restarts += 1
                    await asyncio.sleep(_RESTART_SECONDS)
                    continue
                except ModelUnavailable as error:
                    async with self._changed:
                        self._child = None
                        self.error = str(error)
                        self._changed.notify_all()
                    return
                await self._use(child)
            await self._child.ended.wait()
            logger.warning(
                "the model process %d died; it is started again", self._child.process.pid
            )
            self.restarts += 1
            self._child = None

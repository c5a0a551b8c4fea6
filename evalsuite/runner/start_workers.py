"""Where workers come from: this machine, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from evalsuite.runner.resolved import ResolvedConfig
from evalsuite.runner.run_record import Ledger
from evalsuite.runner.workers.pool import Pool
from evalsuite.runner.workers.ray_client import Cluster
from evalsuite.runner.workers.slot import Hire, Said
from evalsuite.runner.workers.worker import WorkerSettings

HAND = 1536
"""Questions a worker has in hand: three of the engine's windows, so that one is answered, the next
prepared and one more read; or twelve batches, if those are larger."""


def connect(
    address: str, options: ResolvedConfig, ledgers: Sequence[Ledger], media: Path
) -> Cluster:
    """Connect to a Ray cluster whose machines see what workers need; raises `EvalsuiteError`."""
    cluster = Cluster(address, options.config.output_dir / "ray.log", options.patience_seconds)
    try:
        cluster.check(
            options.device,
            [ledger.checkpoint for ledger in ledgers],
            [media, options.config.output_dir],
        )
    except BaseException:
        cluster.close()
        raise
    return cluster


def staff(
    options: ResolvedConfig,
    ledgers: Sequence[Ledger],
    hire: Hire,
    post: Callable[[Said], None],
    note: Callable[[str], None],
) -> Pool:
    """Hire the workers for the runs of `ledgers`; `post` and `note` are as of `Pool`."""
    return Pool(
        [
            WorkerSettings(
                directory=ledger.checkpoint.path,
                base=ledger.checkpoint.base_path,
                processor=ledger.checkpoint.processor_path,
                device=options.device,
                dtype=options.dtype,
                batch_size=options.batch_size,
                longest_edge=options.config.longest_edge,
                log=(options.config.output_dir / "worker.log").absolute(),
                threads=options.threads,
                workers_per_device=options.workers_per_device,
            )
            for ledger in ledgers
        ],
        options.devices,
        hand=max(HAND, 12 * (options.batch_size or 0)),
        coming=lambda run: sum(job.coming for job in ledgers[run].jobs),
        post=post,
        note=note,
        hire=hire,
    )

"""Several seeds of a cell from start to finish: each has its lease, checkpoint, log and row, as if it were alone."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from contextlib import ExitStack

from xsam.atomic import is_full
from xsam.grid.spec import RunSpec
from xsam.runner.callbacks import Leader
from xsam.runner.distributed import ALONE
from xsam.runner.lease import Lease, LeaseLost
from xsam.runner.order import WorkOrder, utc_now
from xsam.runner.run import clear_leftovers, fresh_trainer, log_to, outcome, write_row
from xsam.runner.stop import Interrupted, StopFlag
from xsam.runner.together.loop import Member, train
from xsam.runner.together.trainer import Together


def execute(
    leases: Mapping[str, Lease], runs: Mapping[str, RunSpec], order: WorkOrder, stop: StopFlag, fresh: bool = True
) -> bool:
    """Train runs of one cell together and write their rows; returns whether this process may go on.

    Runs that were saved at the same step go on together, others one group after the other: a run's bits are the same
    in any. What fails several runs at once, or in a process that has trained before, is left to a fresh process,
    which tries each alone; then it is the run's own failure.

    Raises:
        Interrupted: stopped with checkpoints on disk.
        LeaseLost: another worker has the runs.
    """
    started = utc_now()
    with ExitStack() as logs:
        opened: dict[str, logging.Logger] = {}
        for run_id, lease in leases.items():
            clear_leftovers(order.folder, run_id)
            opened[run_id] = logs.enter_context(log_to(order.folder.log(run_id), f"xsam.run.{run_id}"))
            spec = runs[run_id]
            opened[run_id].info(
                "%s seed %s, %d seeds together, attempt %d", spec.optimizer, spec.seed, len(leases), lease.number
            )
        members: list[Member] = []

        def ended(member: Member, status: str) -> None:
            row = outcome(
                member.spec, order, member.lease, member.trainer, member.position, status, member.resumed_from
            )
            write_row(member.spec, order, member.lease, started, row)
            member.leader.record.finish(status, row)
            member.leader.log.info("%s", row["status"])
            if not order.keep_checkpoints:
                order.folder.checkpoint(member.spec.run_id).unlink(missing_ok=True)

        try:
            with ExitStack() as records:
                for run_id, lease in leases.items():
                    trainer = fresh_trainer(runs[run_id], order.data_dir, order.device)
                    leader = Leader(runs[run_id], order, lease, stop, trainer, opened[run_id], ALONE)
                    records.enter_context(leader.record)
                    position = leader.restore()
                    done = position.epoch * trainer.problem.steps_per_epoch + position.step
                    members.append(Member(runs[run_id], lease, trainer, leader, position, done))
                for place in sorted({member.resumed_from for member in members}):
                    group = [member for member in members if member.resumed_from == place]
                    train(Together([each.spec for each in group], [each.trainer for each in group]), group, ended)
                return True
        except Interrupted:
            for log in opened.values():
                log.info("stopped, to be resumed")
            raise
        except LeaseLost:
            raise
        except Exception as error:
            if is_full(error):
                raise
            trace = traceback.format_exc()
            over = {each.spec.run_id for each in members if each.over}
            for run_id in leases.keys() - over:
                opened[run_id].error("failed\n%s", trace)
                if fresh and len(leases) == 1:
                    write_row(runs[run_id], order, leases[run_id], started, {"status": "failed", "error": trace})
                    return True
                opened[run_id].warning(
                    "this process, or another seed, may be to blame: once more alone, in a fresh one"
                )
                leases[run_id].suspect = True
            return False

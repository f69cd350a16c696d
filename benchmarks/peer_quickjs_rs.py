"""The snapshot engine quickjs-rs, measured as ``bench_vm.py`` measures ours; run by that script."""

from __future__ import annotations

import gzip
import json
import statistics
import time
from collections.abc import Callable

from quickjs_rs import Runtime, Snapshot

LOOP = """
globalThis.total = 0;
(async () => {
  for (let i = 0; i < 5; i++) total += await new Promise((r) => { next = r; });
})();
0;
"""
LARGE = """
globalThis.rows = [];
for (let i = 0; i < 7000; i++) rows.push({ id: i, name: "row " + i, at: Math.random() });
0;
"""
FIB = "const fib = (n) => (n < 2 ? n : fib(n - 1) + fib(n - 2)); fib(27)"


def median_ms(fn: Callable[[], object], count: int) -> float:
    """Median milliseconds of a call."""
    times: list[float] = []
    for _ in range(count):
        began = time.perf_counter()
        fn()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e3


def report(name: str, value: float, unit: str) -> None:
    """One figure."""
    print(json.dumps({"who": "quickjs-rs", "name": name, "value": value, "unit": unit}), flush=True)


def main() -> None:
    """All of it."""
    report("create", median_ms(lambda: Runtime().new_context(), 30), "ms")
    for label, source in (("five awaits", LOOP), ("1 MB of live objects", LARGE)):
        context = Runtime().new_context()
        context.eval("globalThis.next = null")
        context.eval(source)
        saved = gzip.compress(context.create_snapshot().to_bytes(), 6)

        def save(context: object = context) -> None:
            # It has no types.
            gzip.compress(context.create_snapshot().to_bytes(), 6)  # type: ignore[attr-defined]

        def load(saved: bytes = saved) -> None:
            runtime = Runtime()
            runtime.restore_snapshot(
                Snapshot.from_bytes(gzip.decompress(saved)), runtime.new_context()
            )

        report(f"save, {label}", median_ms(save, 20), "ms")
        report(f"load, {label}", median_ms(load, 20), "ms")
        report(f"stored, {label}", len(saved), "bytes")
    context = Runtime().new_context()
    report("fib(27)", median_ms(lambda: context.eval(FIB.replace("const fib", "var fib")), 5), "ms")


if __name__ == "__main__":
    main()

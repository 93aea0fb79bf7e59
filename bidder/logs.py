"""What the engine's processes say on stderr: one line an event, as text or as JSON, and never a flood.

    logs.configure("json", "worker 1")
    logging.getLogger(__name__).warning("lost the look-up connection to %s", endpoint)

    {"time": "2026-11-03T19:04:05.123Z", "level": "warning", "process": "worker 1", "pid": 4711,
     "logger": "segments.node", "message": "lost the look-up connection to Redis at 10.0.0.5:6379"}

Lines are sampled: of those that one place in the code writes (a logger and its unformatted sentence),
LOG_LINES_MAX come through in LOG_WINDOW_SECONDS. The first line of the next window carries the number of
those that were left out (`left_out`), so that an outage shows how loud it was and fills no disk.

No line holds an id of a person. The code logs none; tests/test_logs.py reads every call in it.
"""

import json
import logging
import sys
import time
from collections import OrderedDict

from config.limits import LOG_LINES_MAX, LOG_PLACES_MAX, LOG_WINDOW_SECONDS
from config.settings import LogFormat

_TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_LEFT_OUT = "left_out"
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


class RepeatFilter(logging.Filter):
    """Lets a few lines of each place through in each window, and counts the rest."""

    def __init__(self) -> None:
        super().__init__()
        self._places: OrderedDict[tuple[str, str], _Window] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        place = (record.name, str(record.msg))
        window = self._places.get(place)
        if window is None:
            window = self._places[place] = _Window(record.created)
            if len(self._places) > LOG_PLACES_MAX:
                self._places.popitem(last=False)
        elif record.created - window.start_s >= LOG_WINDOW_SECONDS or record.created < window.start_s:
            if window.left_out:
                setattr(record, _LEFT_OUT, window.left_out)
            window = self._places[place] = _Window(record.created)
            self._places.move_to_end(place)
        window.lines += 1
        if window.lines > LOG_LINES_MAX:
            window.left_out += 1
            return False
        return True


class _Window:
    __slots__ = ("left_out", "lines", "start_s")

    def __init__(self, start_s: float) -> None:
        self.start_s = start_s
        self.lines = 0
        self.left_out = 0


class TextFormatter(logging.Formatter):
    """A line for people; one that stands for others says for how many.

    What a line quotes can't end it, and begin another, or draw on the terminal: control characters are
    written as escapes. Only a stack takes lines of its own.
    """

    def __init__(self) -> None:
        super().__init__(_TEXT)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        left_out = getattr(record, _LEFT_OUT, 0)
        line = super().formatMessage(record).translate(_ESCAPES)
        return f"{line} (and {left_out} such lines before, left out)" if left_out else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line, for a collector."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "time": _rfc3339(record.created),
            "level": record.levelname.lower(),
            "process": self._process,
            "pid": record.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if left_out := getattr(record, _LEFT_OUT, 0):
            fields[_LEFT_OUT] = left_out
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


def configure(log_format: LogFormat, process: str) -> None:
    """Send this process's log to stderr from now on; `process` is its name in JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(process) if log_format == "json" else TextFormatter())
    handler.addFilter(RepeatFilter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def say(sentence: str) -> None:
    """Tell the operator why something ended: `hustings: ...`, or a JSON line where the log is JSON."""
    if any(isinstance(handler.formatter, JsonFormatter) for handler in logging.getLogger().handlers):
        logging.getLogger("hustings").error(sentence)
    else:
        sys.stderr.write(f"hustings: {sentence}\n")
        sys.stderr.flush()


def _rfc3339(epoch_s: float) -> str:
    whole_s, milliseconds = divmod(int(epoch_s * 1_000), 1_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole_s)) + f".{milliseconds:03d}Z"

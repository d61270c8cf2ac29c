"""What an export leaves in the notebook: a receipt for `addnb`, and a few words for the reader."""

import html
import os
import sys

from . import _context, _native

_owner = os.getpid()


def size_text(size):
    """Returns a length as people read it: `1.5 MiB`."""
    if size < 1024:
        return f"{size} B"
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        size /= 1024
        if size < 1024 or unit == "TiB":
            return f"{size:.1f} {unit}"


def facts(outcome, shape):
    """Returns the words about a finished export, without its name."""
    record = outcome["record"]
    words = [f"{record['suffix']}, {size_text(record['size'])}"]
    if shape is not None:
        words.append(" × ".join(f"{extent:,}" for extent in shape))
    if outcome["unchanged_since"]:
        words.append(f"unchanged since {outcome['unchanged_since']}")
    else:
        words.append(f"{size_text(outcome['stored_len'])} stored")
    return ", ".join(words)


def params_text(params):
    """Returns `{year=2023, foo='bar'}`, or nothing for no parameters."""
    return "{" + ", ".join(f"{key}={value!r}" for key, value in params.items()) + "}" if params else ""


def show(outcome, shape):
    """Displays receipt and words as one output of the running cell; outside a kernel nothing happens."""
    # A forked child may not speak for the kernel; IPython would drop the message and warn.
    if _context.kernel_shell() is None or os.getpid() != _owner:
        return
    record = outcome["record"]
    label, words = record["name"] + params_text(record["params"]), facts(outcome, shape)
    bundle = {
        "text/plain": f"exported {label}: {words}",
        "text/html": f"exported <b>{html.escape(label)}</b>: {html.escape(words)}",
    }
    if outcome["receipt"] is not None:
        bundle[_native.RECEIPT_MEDIA_TYPE] = outcome["receipt"]
    try:
        from IPython.display import display

        display(bundle, raw=True)
    except Exception as error:  # The export is durable already; a broken front end must not make it look failed.
        print(f"onenb: the receipt of {label} could not be shown: {error}", file=sys.stderr)

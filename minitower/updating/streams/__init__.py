"""Click streams: folders of immutable logs, read in time order, each event once. Chapter 14.

From the file to the batch:

text_files    JSON lines and CSV
tfrecord      TFRecord of tf.train.Example, checksums checked
parquet       Parquet, over pyarrow; sizes of columns are checked before they are decoded
folder        finds logs, knows them by their content, polls; writes a log
events        typed clicks, the records that they come from, a buffer in time order
dead_letters  the file of bad records
cursor        where reading stands
stream        batches in time order; late events
"""

from minitower.updating.streams.cursor import Counts, Cursor, FileMark
from minitower.updating.streams.events import EventFields, Events
from minitower.updating.streams.folder import PollOptions, content_hashes, write_events
from minitower.updating.streams.stream import ClickStream, EventBatch

__all__ = [
    "ClickStream",
    "Counts",
    "Cursor",
    "EventBatch",
    "EventFields",
    "Events",
    "FileMark",
    "PollOptions",
    "content_hashes",
    "write_events",
]

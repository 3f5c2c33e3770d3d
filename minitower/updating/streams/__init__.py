"""Click streams: folders of logs that grow, read in time order, each event once.

events         what a click is, and which columns hold it
blocks         what a reader of files hands on
text_files     JSON lines and CSV
parquet_footer sizes of columns in Parquet, before they are read
parquet        Parquet, over pyarrow
parquet_clicks clicks in Parquet, in bounded memory
tfrecord       TFRecord of tf.train.Example, checksums checked
hashes         SHA-256 of the bytes of a file
cursor         where reading stands
logs           which files were read, whatever their names
folder         what is new, by polling
aside          the file of records that are no events
buffer         events in time order while more arrive
stream         batches in time order, and what is set aside
writing        whole files, for a stream to find
"""

from minitower.updating.streams.cursor import Counts, Cursor
from minitower.updating.streams.events import EventFields, Events
from minitower.updating.streams.folder import PollOptions, content_hashes
from minitower.updating.streams.stream import ClickStream, EventBatch
from minitower.updating.streams.writing import write_events

__all__ = [
    "ClickStream",
    "Counts",
    "Cursor",
    "EventBatch",
    "EventFields",
    "Events",
    "PollOptions",
    "content_hashes",
    "write_events",
]

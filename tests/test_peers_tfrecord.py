"""TensorFlow reads what we write, and we read what it writes."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import texts

from minitower.updating.streams import ClickStream, EventFields, write_events

tensorflow = pytest.importorskip("tensorflow", reason="not installed: pip install tensorflow-cpu")

FIELDS = EventFields(item_type="string", value="rating")
logs = st.lists(
    st.tuples(
        st.integers(0, 2**63 - 1), texts, st.integers(0, 10**10), st.floats(-50, 50, width=32)
    ),
    min_size=1,
    max_size=8,
)
shared_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@shared_folder
@given(logs)
def test_tensorflow__reads_what_we_write(tmp_path, rows):
    path = tmp_path / "log.tfrecord"
    path.unlink(missing_ok=True)
    write_events(path, dict(zip(FIELDS.names, map(list, zip(*rows)))), FIELDS)
    kinds = ["int64", "string", "int64", "float32"]
    features = {n: tensorflow.io.FixedLenFeature([], k) for n, k in zip(FIELDS.names, kinds)}
    read = [
        tensorflow.io.parse_single_example(raw, features)
        for raw in tensorflow.data.TFRecordDataset(str(path))
    ]
    plain = [[example[name].numpy() for name in FIELDS.names] for example in read]
    assert [(u, i.decode(), t, v) for u, i, t, v in plain] == rows


@shared_folder
@given(logs)
def test_tensorflow__writes_what_we_read(tmp_path, rows):
    train = tensorflow.train
    path = tmp_path / "log.tfrecord"
    with tensorflow.io.TFRecordWriter(str(path)) as writer:
        for user, item, time, value in rows:
            feature = {
                "user_id": train.Feature(int64_list=train.Int64List(value=[user])),
                "item_id": train.Feature(bytes_list=train.BytesList(value=[item.encode()])),
                "timestamp": train.Feature(int64_list=train.Int64List(value=[time])),
                "rating": train.Feature(float_list=train.FloatList(value=[value])),
            }
            example = train.Example(features=train.Features(feature=feature))
            writer.write(example.SerializeToString())
    (batch,) = ClickStream(folder=tmp_path, fields=FIELDS, allowed_lateness=1e11).batches(100)
    order = np.argsort([row[2] for row in rows], kind="stable")
    assert batch.events.rows() == [list(rows[k]) for k in order]

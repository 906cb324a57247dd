"""New configurations can be had before the rows that came before them, and are no text that JSON does not allow."""

from __future__ import annotations

import os
import threading

import pytest
from dativo_protocols import AirbyteDecoder, Batch, ConnectorError, Control

CATALOG = (
    b'{"streams":[{"stream":{"name":"a","json_schema":{"properties":{"n":{"type":"integer"}}}},"sync_mode":"full_refresh"}]}'
)
ROW = b'{"type":"RECORD","record":{"stream":"a","data":{"n":1},"emitted_at":1}}\n'
CONTROL = b'{"type":"CONTROL","control":{"type":"CONNECTOR_CONFIG","connectorConfig":{"config":{"token":"%s"}}}}\n'


def test_a_new_configuration_is_there_before_its_turn_and_comes_again_then() -> None:
    reader, writer = os.pipe()
    decoder = AirbyteDecoder(reader, catalog=CATALOG)
    os.write(writer, ROW * 100 + CONTROL % b"second")
    control = decoder.next_control()
    assert control is not None
    assert control.config == {"token": "second"}
    os.close(writer)
    seen = list(decoder)
    assert sum(message.rows for message in seen if isinstance(message, Batch)) == 100
    assert [message.config for message in seen if isinstance(message, Control)] == [{"token": "second"}]
    assert decoder.next_control() is None
    os.close(reader)


def test_closing_ends_the_wait_for_one() -> None:
    reader, writer = os.pipe()
    decoder = AirbyteDecoder(reader, catalog=CATALOG)
    found: list[Control | None] = []
    thread = threading.Thread(target=lambda: found.append(decoder.next_control()))
    thread.start()
    decoder.close()
    thread.join(20)
    assert found == [None]
    os.close(reader)
    os.close(writer)


def test_one_that_is_no_text_fails_where_it_stands_behind_the_rows_before_it() -> None:
    reader, writer = os.pipe()
    decoder = AirbyteDecoder(reader, catalog=CATALOG)
    os.write(writer, ROW * 3 + CONTROL % b"\xff")
    os.close(writer)
    seen: list[object] = []
    with pytest.raises(ConnectorError, match="line 4: CONTROL message is not JSON: a text is not UTF-8 at byte") as caught:
        seen.extend(decoder)
    assert sum(message.rows for message in seen if isinstance(message, Batch)) == 3
    assert caught.value.facts["line"] == 4
    os.close(reader)

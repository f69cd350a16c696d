"""The driver's errors become ours, and which may be tried again."""

from __future__ import annotations

import re

import pytest
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    DocumentTooLarge,
    DuplicateKeyError,
    InvalidOperation,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WTimeoutError,
)

from perdure.errors import (
    PerdureError,
    UsageError,
    WorldClosedError,
    WorldContractError,
    WorldDeniedError,
    WorldUnavailableError,
)
from perdure_mongodb._driver import is_duplicate, is_transient, mapped_errors

pytestmark = pytest.mark.anyio


def labelled(exc: PyMongoError, label: str) -> PyMongoError:
    exc._add_error_label(label)
    return exc


@pytest.mark.parametrize(
    ("raised", "ours"),
    [
        (AutoReconnect("gone"), WorldUnavailableError),
        (ServerSelectionTimeoutError("nobody"), WorldUnavailableError),
        (WTimeoutError("slow", 64), WorldUnavailableError),
        (OperationFailure("stepped down", 189), WorldUnavailableError),
        (
            labelled(OperationFailure("x", 1), "UnknownTransactionCommitResult"),
            WorldUnavailableError,
        ),
        (OperationFailure("not authorised", 13), WorldDeniedError),
        (OperationFailure("wrong password", 18), WorldDeniedError),
        (DocumentTooLarge("17 MB"), WorldContractError),
        (InvalidOperation("closed"), WorldClosedError),
        (ConfigurationError("no such option"), UsageError),
    ],
)
def test_foreign_errors_become_ours(raised: PyMongoError, ours: type[Exception]) -> None:
    with pytest.raises(ours) as caught, mapped_errors("mongodb://h/x"):
        raise raised
    assert caught.value.__cause__ is raised


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (OperationFailure("x", 20, {"errmsg": "no", "codeName": "Odd", "$t": "raw"}), "no (Odd)"),
        (OperationFailure("x", 20, {"errmsg": "no", "$t": "raw"}), "no (code 20)"),
        (OperationFailure("no, full error: {'$t': 'raw'}", 20), "no"),
        (AutoReconnect("no, Timeout: 1s, Topology Description: <raw>"), "no"),
        (BulkWriteError({"writeErrors": [{"code": 1, "errmsg": "no"}], "$t": "raw"}), "no"),
        (BulkWriteError({"nInserted": 0, "$t": "raw"}), "batch op errors occurred"),
    ],
)
def test_the_servers_words_are_told_without_its_document(raised: PyMongoError, words: str) -> None:
    with pytest.raises(PerdureError, match=re.escape(words)) as caught, mapped_errors("m://h/x"):
        raise raised
    assert "raw" not in str(caught.value)


def test_what_may_be_tried_again_is_told_apart() -> None:
    transient = labelled(OperationFailure("conflict", 112), "TransientTransactionError")
    unknown = labelled(AutoReconnect("gone"), "UnknownTransactionCommitResult")
    assert is_transient(transient)
    assert not is_transient(labelled(unknown, "TransientTransactionError"))
    assert is_transient(BulkWriteError({"writeErrors": [{"code": 112}]}))
    assert is_duplicate(DuplicateKeyError("E11000"))
    assert is_duplicate(BulkWriteError({"writeErrors": [{"code": 11000}]}))
    assert not is_duplicate(BulkWriteError({"writeErrors": [{"code": 11000}, {"code": 1}]}))
    assert not is_duplicate(BulkWriteError({"writeErrors": []}))

"""Ports: what is handed out is free, and what is asked for and taken is said."""

import socket

import pytest

from local.errors import StackError
from local.ports import HOST, free_port, free_row, is_free, port_from


def test_a_port_is_free_and_handed_out_once():
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50
    assert all(is_free(port) for port in ports)


def test_a_port_can_be_asked_for(monkeypatch):
    port = free_port()
    monkeypatch.setenv("BOTHWAYS_TEST_PORT", str(port))
    assert port_from("BOTHWAYS_TEST_PORT") == port


def test_a_taken_port_is_said_with_its_variable(monkeypatch):
    with socket.create_server((HOST, free_port())) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("BOTHWAYS_TEST_PORT", str(port))
        with pytest.raises(StackError, match=rf"port {port} \(BOTHWAYS_TEST_PORT\) is taken"):
            port_from("BOTHWAYS_TEST_PORT")


@pytest.mark.parametrize("wrong", ["0", "65536", "-1", "http", "80 80"])
def test_what_is_no_port_is_refused(monkeypatch, wrong):
    monkeypatch.setenv("BOTHWAYS_TEST_PORT", wrong)
    with pytest.raises(StackError, match="must be a port between 1 and 65535"):
        port_from("BOTHWAYS_TEST_PORT")


def test_ports_in_a_row_are_free_and_handed_out_once():
    rows = [free_row(4) for _ in range(20)]
    assert all(list(row) == list(range(row[0], row[0] + 4)) for row in rows)
    assert len({port for row in rows for port in row}) == 80
    assert all(is_free(port) for row in rows for port in row)

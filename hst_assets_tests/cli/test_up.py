"""`hst-assets up`: what is told before Dagster starts."""

import socket


def test_a_port_that_is_taken_is_told_at_once(cli, root):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = cli("up", "--port", port)
    assert result.code == 2
    assert f"cannot listen on port {port}" in result.err
    assert "--port" in result.err


def test_an_address_of_another_computer_is_told(cli, root):
    result = cli("up", "--host", "192.0.2.1")
    assert result.code == 2
    assert "192.0.2.1" in result.err

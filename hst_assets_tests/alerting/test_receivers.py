"""Messages to a webhook and a mail server on this machine; what is kept secret."""

import ipaddress
import logging
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hst_assets.alerting.receivers import (
    FROM_VARIABLE,
    MAIL_VARIABLE,
    PASSWORD_VARIABLE,
    SMTP_VARIABLE,
    TOKEN_VARIABLE,
    WEBHOOK_VARIABLE,
    MailReceiver,
    WebhookReceiver,
    receivers_from_environment,
)
from hst_assets.failures import AccessRefused, BadConfiguration, TransientFailure
from hst_assets_tests.stand_ins.alert_services import MailServer

SECRET = "T0-part-of-the-path"
NOBODY = "http://127.0.0.1:9"


def hook(webhook, token=""):
    return WebhookReceiver(f"{webhook.url}/services/{SECRET}", token)


def test_a_webhook_is_sent_the_text_and_the_facts(webhook, alert):
    hook(webhook).tell(alert)
    (taken,) = webhook.taken
    assert taken["text"] == alert.text
    assert (taken["target"], taken["visit"], taken["run_id"]) == ("sn1", "iaaa01", alert.run_id)
    assert taken["assets"] == ["aligned_exposures", "epoch_drizzles"]
    assert "Authorization" not in webhook.headers[0]


def test_a_token_goes_with_it(webhook, alert):
    hook(webhook, "my-token").tell(alert)
    assert webhook.headers[0]["Authorization"] == "Bearer my-token"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(500, TransientFailure), (429, TransientFailure), (404, AccessRefused), (302, AccessRefused)],
)
def test_what_it_answers_tells_whether_another_message_may_do(webhook, alert, status, kind):
    webhook.status = status
    with pytest.raises(kind, match=str(status)) as caught:
        hook(webhook).tell(alert)
    assert SECRET not in str(caught.value)
    assert len(webhook.headers) == 1  # no redirect is followed


def test_nobody_there_is_told_without_the_address(alert, caplog):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(TransientFailure, match="does not answer: Connection refused") as caught:
        WebhookReceiver(f"{NOBODY}/{SECRET}").tell(alert)
    assert "127.0.0.1" in caught.value.where
    assert SECRET not in f"{caught.value} {caught.value.__cause__} {caplog.text}"


def test_an_address_that_no_name_service_takes_is_a_refusal(alert):
    label = "a" * 64  # longer than a part of a name may be
    with pytest.raises(AccessRefused, match="no name service") as caught:
        WebhookReceiver(f"http://{label}.invalid/{SECRET}").tell(alert)
    assert SECRET not in str(caught.value)
    with pytest.raises(AccessRefused, match="cannot be written in mail"):
        MailReceiver("o@example.org", "h@example.org", f"smtp://{label}.invalid").tell(alert)


def test_no_log_at_any_level_has_the_address_or_the_token(webhook, alert, caplog):
    caplog.set_level(logging.DEBUG)
    receiver = hook(webhook, "my-token")
    receiver.tell(alert)
    assert not {SECRET, "my-token"} & set(caplog.text.split())
    assert SECRET not in caplog.text + repr(receiver) + receiver.name
    assert "my-token" not in caplog.text + repr(receiver)


def test_mail_has_a_subject_and_the_text(mail_server, alert):
    MailReceiver("observer@example.org", "hst@example.org", mail_server.address).tell(alert)
    ((recipient, message),) = mail_server.taken
    assert recipient == message["To"] == "observer@example.org"
    assert message["From"] == "hst@example.org"
    assert message["Subject"] == alert.subject
    assert message.get_content().splitlines() == alert.text.splitlines()


@pytest.mark.parametrize(
    ("command", "line", "kind"),
    [
        ("RCPT", "550 nobody of that name", AccessRefused),
        ("RCPT", "451 greylisted", TransientFailure),
        ("MAIL", "421 too busy", TransientFailure),
        ("DATA", "554 no", AccessRefused),
    ],
)
def test_what_a_mail_server_refuses_may_pass_or_not(mail_server, alert, command, line, kind):
    mail_server.refusals[command] = line
    with pytest.raises(kind, match=line[:3]):
        MailReceiver("observer@example.org", "hst@example.org", mail_server.address).tell(alert)


def test_a_mail_server_that_is_not_there_may_come_back(alert):
    with pytest.raises(TransientFailure, match="Connection refused"):
        MailReceiver("observer@example.org", "h@example.org", "smtp://127.0.0.1:9").tell(alert)


def test_a_password_is_not_sent_to_a_server_that_knows_no_login(mail_server, alert):
    receiver = MailReceiver(
        "observer@example.org", "hst@example.org", mail_server.address, "my-password"
    )
    with pytest.raises(AccessRefused) as caught:
        receiver.tell(alert)
    assert "my-password" not in str(caught.value) + repr(receiver)


def test_a_password_is_sent_to_this_machine_without_tls(alert):
    with MailServer(offers=("AUTH PLAIN",)).running() as server:
        address = server.address.replace("//", "//me@")
        MailReceiver("o@example.org", "h@example.org", address, "my-password").tell(alert)
    assert server.logins == ["\0me\0my-password"]
    assert len(server.taken) == 1


@pytest.fixture
def certificate(tmp_path):
    """One for 127.0.0.1 that nobody else has signed, with its key, in a file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    written = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(written + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def tls_server(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with MailServer(context, offers=("AUTH PLAIN",)).running() as server:
        yield server


def test_mail_goes_over_tls_to_a_server_that_is_trusted(
    tls_server, certificate, alert, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    MailReceiver("o@example.org", "h@example.org", tls_server.address, "my-password").tell(alert)
    assert tls_server.logins == ["\0h@example.org\0my-password"]
    assert [recipient for recipient, _ in tls_server.taken] == ["o@example.org"]


def test_a_server_that_is_not_trusted_is_told_nothing(tls_server, alert):
    receiver = MailReceiver("o@example.org", "h@example.org", tls_server.address, "my-password")
    with pytest.raises(TransientFailure, match=r"TLS failed \(CERTIFICATE_VERIFY_FAILED\)"):
        receiver.tell(alert)
    assert (tls_server.logins, tls_server.taken) == ([], [])


@pytest.mark.looks_up("mail.invalid")
def test_a_password_needs_a_server_that_is_found(alert):
    receiver = MailReceiver("o@example.org", "h@example.org", "smtps://mail.invalid", "my-password")
    with pytest.raises(TransientFailure, match="does not answer"):
        receiver.tell(alert)


def test_who_is_told_is_read_from_the_environment():
    environment = {
        WEBHOOK_VARIABLE: "https://hooks.example.org/services/T0",
        MAIL_VARIABLE: "a@example.org, b@example.org",
    }
    names = [receiver.name for receiver in receivers_from_environment(environment)]
    assert names == [
        "webhook (hooks.example.org)",
        "mail to a@example.org",
        "mail to b@example.org",
    ]
    assert receivers_from_environment({"PATH": "/bin"}) == []


@pytest.mark.parametrize(
    "environment",
    [
        {WEBHOOK_VARIABLE: f"hooks.example.org/{SECRET}"},
        {WEBHOOK_VARIABLE: f"ftp://hooks.example.org/{SECRET}"},
        {WEBHOOK_VARIABLE: f"https://user:{SECRET}@hooks.example.org/"},
        {WEBHOOK_VARIABLE: f"https://hooks.example.org:port/{SECRET}"},
        {WEBHOOK_VARIABLE: f"https://hooks.example.org/\u00e9{SECRET}"},
        {WEBHOOK_VARIABLE: f"https://h\u00f6ks.example.org/{SECRET}"},
        {WEBHOOK_VARIABLE: "http://hooks.example.org/", TOKEN_VARIABLE: SECRET},
        {WEBHOOK_VARIABLE: "https://hooks.example.org/", TOKEN_VARIABLE: f"{SECRET}\nX: y"},
        {MAIL_VARIABLE: "nobody"},
        {MAIL_VARIABLE: "a@example.org\nBcc: b@example.org"},
        {MAIL_VARIABLE: "a@example.org", FROM_VARIABLE: "me"},
        {MAIL_VARIABLE: "a@example.org", PASSWORD_VARIABLE: f"\u00e9{SECRET}"},
        {MAIL_VARIABLE: "a@example.org", SMTP_VARIABLE: "mail.example.org"},
        {MAIL_VARIABLE: "a@example.org", SMTP_VARIABLE: f"smtp://u:{SECRET}@mail.example.org"},
    ],
)
def test_a_variable_that_is_wrong_is_named_and_not_repeated(environment):
    with pytest.raises(BadConfiguration) as caught:
        receivers_from_environment(environment)
    assert any(name in str(caught.value) for name in environment)
    assert SECRET not in str(caught.value)


def test_a_password_of_the_mail_server_stands_in_a_variable_of_its_own():
    environment = {MAIL_VARIABLE: "a@example.org", PASSWORD_VARIABLE: "my-password"}
    (receiver,) = receivers_from_environment(environment)
    assert receiver.password == "my-password"
    assert "my-password" not in repr(receiver)

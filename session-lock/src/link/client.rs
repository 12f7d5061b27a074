use redis::{
    Client, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion, RedisError,
    io::tcp::TcpSettings,
};

/// What a URL looks like, for errors.
pub const URL_FORM: &str = "the URL cannot be used; expected redis://[user[:password]@]host[:port][/database], rediss://... with feature `tls`, or unix:///path";

/// The server that a URL names.
///
/// # Errors
/// When the URL cannot be read. The URL may hold a password: the error does not show it.
pub fn parse_url(url: &str) -> Result<Client, RedisError> {
    url.into_connection_info().and_then(Client::open)
}

/// A client of the same server whose connections send small packets at once, instead of waiting for the
/// acknowledgement of the one before.
///
/// # Errors
/// When the settings contradict each other.
pub fn open(info: ConnectionInfo) -> Result<Client, RedisError> {
    #[cfg(feature = "tls")]
    ensure_crypto_provider();
    Client::open(info.set_tcp_settings(TcpSettings::default().set_nodelay(true)))
}

/// A client of the same server whose connections can receive messages.
///
/// # Errors
/// As [`open`].
pub fn open_pushing(info: &ConnectionInfo) -> Result<Client, RedisError> {
    let settings = info.redis_settings().clone();
    let settings = settings.set_protocol(ProtocolVersion::RESP3);
    open(info.clone().set_redis_settings(settings))
}

/// TLS needs a provider of cryptography for the process. One that the application has chosen stays.
#[cfg(feature = "tls")]
fn ensure_crypto_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Lost only to somebody who chose one at this very moment.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
    }
}

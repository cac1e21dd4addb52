//! One request, and its answer.
//!
//! ```text
//! ask ─► server 1, 2 … ─► way: TLS, or plain ─► send ─► redirects ─► 401? token, send again ─► answer
//!  ▲                                              └─ transient: wait, again
//!  └── not there: the next server
//! ```
//!
//! A redirect leads to HTTP and to nothing else, not from TLS to plain, and to another server without the
//! credentials of the first.
//!
//! Sources: RFC 9110, sections 10.2.3 and 15.4; OCI Distribution Specification, "Error Codes".

use std::collections::BTreeSet;
use std::error::Error;
use std::io;
use std::time::{Duration, Instant, SystemTime};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Method, Response, StatusCode, Url};
use serde::Deserialize;

use super::challenge::challenges;
use super::endpoint::{Server, Way, host_of, is_same_server};
use super::retry::Nature;
use super::token::{self, TokenError, TokenRequest};
use super::trust::{Trust, TrustError};
use super::{Contact, Registries, Scope};

/// How many redirects may follow one another.
const REDIRECTS: u32 = 5;

/// The most of an error's text that is read.
const ERROR_BYTES: u64 = 64 << 10;

/// The most that a token server may say.
const TOKEN_BYTES: u64 = 1 << 20;

/// What is asked of a registry.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    /// The path with its query, from `/v2/` on.
    pub(crate) path: String,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) headers: HeaderMap,
    /// Makes the body, as often as it is sent.
    pub(crate) body: Option<&'a (dyn Fn() -> reqwest::Body + Sync)>,
    /// The answer is read whole, and has no more bytes than this. Else the caller reads it.
    pub(crate) most: Option<u64>,
}

/// What a registry answers.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Where the answer came from first, before redirects.
    pub(crate) place: Place,
    /// All of the answer, if it was to be read whole.
    pub(crate) body: Vec<u8>,
    /// The rest of the answer, if it was not.
    pub(crate) rest: Response,
}

/// An address of a server, and how it is spoken to.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) server: Server,
    pub(crate) way: Way,
    pub(crate) url: Url,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// There is no client.
    #[error("speak HTTP")]
    Client {
        /// What is wrong.
        source: reqwest::Error,
    },
    /// It is not known whose certificates to believe.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Nobody is there, or not who should be.
    #[error("reach {host}{hint}")]
    Unreachable {
        /// The host.
        host: String,
        /// What may help.
        hint: &'static str,
        /// What went wrong.
        source: reqwest::Error,
    },
    /// It ended in the middle.
    #[error("{host} breaks off")]
    Broken {
        /// The host.
        host: String,
        /// What went wrong.
        source: reqwest::Error,
    },
    /// The registry refuses.
    #[error("{host} answers {status}{}{}", after_colon(.said), told_wait(.after))]
    Status {
        /// The host.
        host: String,
        /// Its status.
        status: StatusCode,
        /// What it says about that.
        said: String,
        /// How long it wants to be left alone.
        after: Option<Duration>,
    },
    /// It leads elsewhere.
    #[error("{host} leads to `{to}`, {rule}")]
    Redirect {
        /// The host.
        host: String,
        /// Where it leads.
        to: String,
        /// Why nobody follows.
        rule: &'static str,
    },
    /// It says too much.
    #[error("{host} answers with more than {most} bytes")]
    TooLong {
        /// The host.
        host: String,
        /// How much it may say.
        most: u64,
    },
    /// It does not let us in.
    #[error("get into {host}")]
    Token {
        /// The host.
        host: String,
        /// Why not.
        source: TokenError,
    },
    /// What is asked has no address.
    #[error("`{text}` is not an address")]
    Address {
        /// The text.
        text: String,
    },
}

fn after_colon(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

fn told_wait(after: &Option<Duration>) -> String {
    after.map(|after| format!(", and asks to wait for {} s", after.as_secs())).unwrap_or_default()
}

impl ExchangeError {
    /// Tells whether the registry has no such thing.
    pub(crate) fn is_not_found(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND)
    }

    /// Returns the status that the registry answered with.
    pub(crate) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Tells what can be done about it, of a server that has answered before or has not.
    pub(crate) fn nature(&self, has_answered: bool) -> Nature {
        match self {
            Self::Unreachable { .. } if has_answered => Nature::Transient(None),
            Self::Broken { .. } => Nature::Transient(None),
            Self::Status { status, after, .. } => match status.as_u16() {
                408 | 429 | 500 | 502..=504 => Nature::Transient(*after),
                _ => Nature::Final,
            },
            Self::Client { .. }
            | Self::Trust(_)
            | Self::Unreachable { .. }
            | Self::Redirect { .. }
            | Self::TooLong { .. }
            | Self::Token { .. }
            | Self::Address { .. } => Nature::Final,
        }
    }
}

impl Registries {
    /// Asks the servers of `host` one after the other until one answers.
    pub(crate) async fn ask(&self, host: &str, ask: &Ask<'_>) -> Result<Answer, ExchangeError> {
        let servers = self.servers(host, &ask.scopes);
        let (last, others) = servers.split_last().expect("a host stands for itself at least");
        for server in others {
            match self.insist(server, ask).await {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    tracing::debug!(
                        server = server.host,
                        error = &error as &dyn Error,
                        "a mirror does not help"
                    );
                }
            }
        }
        self.insist(last, ask).await
    }

    /// Asks a server until it answers or there is no hope.
    pub(super) async fn insist(&self, server: &Server, ask: &Ask<'_>) -> Result<Answer, ExchangeError> {
        let mut failures = 0;
        loop {
            let error = match self.reach(server, ask).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            failures += 1;
            let contact = self.contact(server);
            let nature = error.nature(contact.way.is_some());
            if matches!(error, ExchangeError::Unreachable { .. }) && nature == Nature::Final {
                self.remember(server, Contact { dead: true, ..contact });
            }
            let Some(wait) = self.wait_after(failures, nature) else { return Err(error) };
            tracing::debug!(server = server.host, error = &error as &dyn Error, ?wait, "asked again soon");
            tokio::time::sleep(wait).await;
        }
    }

    pub(crate) fn wait_after(&self, failures: u32, nature: Nature) -> Option<Duration> {
        self.shared.patience.wait_after(failures, nature, rand::random())
    }

    /// Asks a server in the way that works, or in each until one does.
    async fn reach(&self, server: &Server, ask: &Ask<'_>) -> Result<Answer, ExchangeError> {
        let known = self.contact(server).way;
        let mut failure = None;
        for (number, way) in
            server.ways.iter().enumerate().filter(|(number, _)| known.is_none_or(|way| way == *number))
        {
            let place = Place { server: server.clone(), way: *way, url: address(server, *way, &ask.path)? };
            let outcome = self.send(&place, ask).await;
            match outcome {
                Err(error @ ExchangeError::Unreachable { .. }) => failure = Some(error),
                answered => {
                    self.remember(server, Contact { way: Some(number), dead: false });
                    return answered;
                }
            }
        }
        Err(failure.expect("a server has at least one way"))
    }

    /// Sends a request once, or twice if it is first to be shown what it takes.
    pub(crate) async fn send(&self, place: &Place, ask: &Ask<'_>) -> Result<Answer, ExchangeError> {
        let (host, scopes) = (&place.server.host, Scope::texts(&ask.scopes));
        // Some registries have uploads go to another server, which knows from the address who may do that.
        let is_own = is_same_server(&place.url, &address(&place.server, place.way, "/")?);
        let known = self.shared.tokens.known(host, &scopes, Instant::now()).filter(|_| is_own);
        let mut response = self.follow(place, ask, known.as_ref()).await?;
        let is_asked =
            response.status() == StatusCode::UNAUTHORIZED && is_same_server(response.url(), &place.url);
        if is_own && is_asked {
            let header = self.get_in(place, &response, scopes).await?;
            response = self.follow(place, ask, Some(&header)).await?;
        }
        if !response.status().is_success() {
            return Err(refusal(host, response).await);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let body = match ask.most {
            Some(most) => whole(host, &mut response, most).await?,
            None => Vec::new(),
        };
        Ok(Answer { status, headers, place: place.clone(), body, rest: response })
    }

    /// Sends a request, and follows where it is led to.
    async fn follow(
        &self,
        place: &Place,
        ask: &Ask<'_>,
        shown: Option<&HeaderValue>,
    ) -> Result<Response, ExchangeError> {
        let (host, mut url) = (&place.server.host, place.url.clone());
        let mut trust = match place.way {
            Way::Tls(trust) => trust,
            Way::Plain => Trust::Authorities, // nobody shows a certificate
        };
        for _ in 0..=REDIRECTS {
            let mut request = self.shared.web.client(&url, trust)?.request(ask.method.clone(), url.clone());
            request = request.headers(ask.headers.clone());
            if let Some(header) = shown.filter(|_| is_same_server(&url, &place.url)) {
                request = request.header(AUTHORIZATION, header);
            }
            if let Some(body) = ask.body {
                request = request.body(body());
            }
            let response = request.send().await.map_err(|source| transport(&host_of(&url), source))?;
            let is_reading = [Method::GET, Method::HEAD].contains(&ask.method);
            let location =
                response.headers().get(LOCATION).filter(|_| response.status().is_redirection() && is_reading);
            let Some(location) = location else { return Ok(response) };
            let next = self.next_place(host, &url, location)?;
            trust = self.trust_of(&next);
            url = next;
        }
        Err(ExchangeError::Redirect {
            host: host.clone(),
            to: url.to_string(),
            rule: "and so on without end",
        })
    }

    /// Returns where `location` leads to from `from`, if that is a place to go to.
    pub(crate) fn next_place(
        &self,
        host: &str,
        from: &Url,
        location: &HeaderValue,
    ) -> Result<Url, ExchangeError> {
        let to = String::from_utf8_lossy(location.as_bytes()).into_owned();
        let refused = |rule| ExchangeError::Redirect { host: host.to_owned(), to: to.clone(), rule };
        let next = from.join(&to).map_err(|_| refused("which is not an address"))?;
        match next.scheme() {
            "https" => Ok(next),
            "http" if from.scheme() == "http" || self.shared.settings.is_insecure(&host_of(&next)) => {
                Ok(next)
            }
            "http" => Err(refused("which is not encrypted as it is itself")),
            _ => Err(refused("which is neither https nor http")),
        }
    }

    fn trust_of(&self, url: &Url) -> Trust {
        if self.shared.settings.is_insecure(&host_of(url)) { Trust::Anybody } else { Trust::Authorities }
    }

    /// Finds out what is to be shown after `response`, and remembers it.
    async fn get_in(
        &self,
        place: &Place,
        response: &Response,
        scopes: BTreeSet<String>,
    ) -> Result<HeaderValue, ExchangeError> {
        let host = &place.server.host;
        let failed = |source| ExchangeError::Token { host: host.clone(), source };
        let texts: Vec<_> = response
            .headers()
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        let text = texts.join(", ");
        let credentials = self.shared.keyring.of(host);
        let is_safe = |url: &Url| url.scheme() == "https" || self.shared.settings.is_insecure(&host_of(url));
        let way =
            token::way(&challenges(&text), &text, host, credentials, &scopes, is_safe).map_err(failed)?;
        let (header, until) = match way {
            token::Way::Show(header) => (header, None),
            token::Way::Ask(request) => {
                let realm = request.realm.clone();
                let answer = self.ask_for_token(*request).await?;
                let (header, until) = token::token(&answer, &realm, Instant::now()).map_err(failed)?;
                (header, Some(until))
            }
        };
        self.shared.tokens.remember(host, scopes, header.clone(), until);
        Ok(header)
    }

    async fn ask_for_token(&self, request: TokenRequest) -> Result<Vec<u8>, ExchangeError> {
        let (realm, host) = (request.realm.clone(), host_of(&request.realm));
        let client = self.shared.web.client(&realm, self.trust_of(&realm))?;
        let mut built = client.request(request.method, realm);
        if let Some(header) = request.authorization {
            built = built.header(AUTHORIZATION, header);
        }
        if let Some(form) = request.form {
            built = built.header("content-type", "application/x-www-form-urlencoded").body(form);
        }
        let mut response = built.send().await.map_err(|source| transport(&host, source))?;
        if !response.status().is_success() {
            return Err(refusal(&host, response).await);
        }
        whole(&host, &mut response, TOKEN_BYTES).await
    }
}

fn address(server: &Server, way: Way, path: &str) -> Result<Url, ExchangeError> {
    let text = format!("{}://{}{path}", way.scheme(), server.address);
    text.parse().map_err(|_| ExchangeError::Address { text })
}

/// Reads an answer whole, if it has no more than `most` bytes.
async fn whole(host: &str, response: &mut Response, most: u64) -> Result<Vec<u8>, ExchangeError> {
    let too_long = || ExchangeError::TooLong { host: host.to_owned(), most };
    if response.content_length().is_some_and(|length| length > most) {
        return Err(too_long());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|source| transport(host, source))? {
        body.extend_from_slice(&chunk);
        if body.len() as u64 > most {
            return Err(too_long());
        }
    }
    Ok(body)
}

/// Tells somebody who is not there from somebody who leaves.
pub(crate) fn transport(host: &str, source: reqwest::Error) -> ExchangeError {
    let (host, source) = (host.to_owned(), source.without_url()); // an address may have a secret in it
    if !source.is_connect() {
        return ExchangeError::Broken { host, source };
    }
    let hint = match tls_error(&source) {
        Some(rustls::Error::InvalidCertificate(_)) => {
            ": put its authority's certificate into its `certs.d` folder"
        }
        Some(rustls::Error::InvalidMessage(_)) => ": if it does not speak TLS, list it as insecure",
        Some(_) | None => "",
    };
    ExchangeError::Unreachable { host, hint, source }
}

/// Finds what TLS says about an error.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // What an I/O error wraps is no cause of it, but the error itself.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        at = wrapped.map(|inner| inner as &(dyn Error + 'static)).or(error.source());
    }
    None
}

/// Makes an error of an answer that is none.
async fn refusal(host: &str, mut response: Response) -> ExchangeError {
    let status = response.status();
    let after = response.headers().get(RETRY_AFTER).and_then(|value| retry_after(value, SystemTime::now()));
    let text = whole(host, &mut response, ERROR_BYTES).await.unwrap_or_default();
    ExchangeError::Status { host: host.to_owned(), status, said: reason(&text), after }
}

/// Reads a number of seconds, or a date.
fn retry_after(value: &HeaderValue, now: SystemTime) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()),
    }
}

/// Finds what people should read in an error's text.
fn reason(text: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<One>,
    }
    #[derive(Deserialize)]
    struct One {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let known =
        serde_json::from_slice::<Errors>(text).ok().and_then(|errors| errors.errors.into_iter().next());
    let said = match known {
        Some(One { code, message }) if message.is_empty() => code,
        Some(One { message, .. }) => message,
        None => String::from_utf8_lossy(text).lines().next().unwrap_or_default().to_owned(),
    };
    // A page for browsers says nothing to people here, and control characters would move their terminals.
    let is_page = said.trim_start().starts_with('<');
    said.chars().filter(|c| !c.is_control() && !is_page).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errors_text_is_made_fit_to_be_read() {
        let json = br#"{"errors":[{"code":"DENIED","message":"no\u001b[2J entry"}]}"#;
        assert_eq!(reason(json), "no[2J entry");
        assert_eq!(reason(br#"{"errors":[{"code":"DENIED"}]}"#), "DENIED");
        assert_eq!(reason(b"plain\nsecond"), "plain");
        assert_eq!(reason(b"<html>"), "");
        assert_eq!(reason(&[b'x'; 1000]).len(), 200);
        assert_eq!(reason(br#"{"errors":[]}"#), r#"{"errors":[]}"#);
    }

    #[test]
    fn a_registry_says_in_two_ways_how_long_to_wait() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let read = |text: &str| retry_after(&text.parse().unwrap(), now);
        assert_eq!(read("17"), Some(Duration::from_secs(17)));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:47 GMT"), Some(Duration::from_secs(10)));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:07 GMT"), Some(Duration::ZERO));
        assert_eq!(read("soon"), None);
    }
}

//! How one gets in: what is shown with a request, and how one comes by it.
//!
//! ```text
//! 401 Basic  ─────────────────────────────────► Basic USER:PASSWORD
//! 401 Bearer ── nothing, or USER:PASSWORD ────► GET REALM?service=…&scope=…        ─► Bearer TOKEN
//!            ── identity token ───────────────► POST REALM grant_type=refresh_token ─► Bearer TOKEN
//!            ── registry token ───────────────► Bearer TOKEN
//! ```
//!
//! Sources: distribution `docs/spec/auth/token.md`, `oauth.md`; RFC 7617.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use reqwest::{Method, Url};
use serde::Deserialize;
use trice_model::registry::{Credentials, Secret};

use super::challenge::Challenge;

/// How long a token holds of which nobody says how long.
const USUAL_SECONDS: u64 = 60;

/// A token that ends within so much time is not shown any more.
const MARGIN: Duration = Duration::from_secs(5);

/// The name by which token servers know programs such as this one.
const CLIENT: &str = "trice";

/// Why one does not get in.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It wants something that trice does not have.
    #[error("it asks for a way to get in that trice does not know: `{header}`")]
    Unknown {
        /// What it asks for.
        header: String,
    },
    /// It wants a name and a password.
    #[error("it asks for a name and a password: `trice login {host}` keeps them")]
    NoPassword {
        /// The host.
        host: String,
    },
    /// Its token server is somewhere where no password may go.
    #[error("its token server is `{realm}`, where nothing secret is sent to without TLS")]
    Realm {
        /// The token server.
        realm: String,
    },
    /// What the token server answers is none.
    #[error("the token server `{realm}` answers without a token")]
    NoToken {
        /// The token server.
        realm: String,
    },
}

/// What was shown and may be shown again, by server and what it is for.
#[derive(Default)]
pub(super) struct Tokens {
    known: Mutex<HashMap<Key, Known>>,
}

type Key = (String, BTreeSet<String>);

struct Known {
    header: HeaderValue,
    until: Option<Instant>,
}

impl Tokens {
    /// Returns what `host` may see for `scopes` at `now`, if there is anything.
    pub(super) fn known(&self, host: &str, scopes: &BTreeSet<String>, now: Instant) -> Option<HeaderValue> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.get(&(host.to_owned(), scopes.clone()))?;
        found.until.is_none_or(|until| until > now).then(|| found.header.clone())
    }

    /// Remembers what `host` may see until `until`, or forever.
    pub(super) fn remember(
        &self,
        host: &str,
        scopes: BTreeSet<String>,
        header: HeaderValue,
        until: Option<Instant>,
    ) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((host.to_owned(), scopes), Known { header, until });
    }
}

/// What is to be done about a challenge.
pub(super) enum Way {
    /// To show this.
    Show(HeaderValue),
    /// To ask a token server.
    Ask(Box<TokenRequest>),
}

/// A request to a token server.
pub(super) struct TokenRequest {
    pub(super) realm: Url,
    pub(super) method: Method,
    pub(super) authorization: Option<HeaderValue>,
    /// A form, where there is one.
    pub(super) form: Option<String>,
}

/// Decides how to get in at `host`, which asks for one of `challenges` and has written `header`. `is_safe`
/// tells of a token server whether a secret may go there.
pub(super) fn way(
    challenges: &[Challenge],
    header: &str,
    host: &str,
    credentials: Option<&Credentials>,
    scopes: &BTreeSet<String>,
    is_safe: impl Fn(&Url) -> bool,
) -> Result<Way, TokenError> {
    let bearer = challenges.iter().find_map(|challenge| match challenge {
        Challenge::Bearer { realm, service, scope } => Some((realm, service, scope)),
        Challenge::Basic => None,
    });
    if let Some((realm, service, scope)) = bearer {
        if let Some(Credentials::RegistryToken(token)) = credentials {
            return Ok(Way::Show(secret_header(&format!("Bearer {}", token.reveal()))));
        }
        let mut scopes = scopes.clone();
        scopes.extend(scope.clone());
        let request = token_request(realm, service.as_deref(), &scopes, credentials, is_safe)?;
        return Ok(Way::Ask(Box::new(request)));
    }
    match (challenges.contains(&Challenge::Basic), credentials) {
        (true, Some(Credentials::Password { user, password })) => Ok(Way::Show(basic(user, password))),
        (true, _) => Err(TokenError::NoPassword { host: host.to_owned() }),
        (false, _) => Err(TokenError::Unknown { header: header.to_owned() }),
    }
}

fn token_request(
    realm: &str,
    service: Option<&str>,
    scopes: &BTreeSet<String>,
    credentials: Option<&Credentials>,
    is_safe: impl Fn(&Url) -> bool,
) -> Result<TokenRequest, TokenError> {
    let refused = || TokenError::Realm { realm: realm.to_owned() };
    let mut url: Url = realm.parse().map_err(|_| refused())?;
    if !["http", "https"].contains(&url.scheme()) || credentials.is_some() && !is_safe(&url) {
        return Err(refused());
    }
    match credentials {
        Some(Credentials::IdentityToken(token)) => {
            let mut fields = vec![("grant_type", "refresh_token"), ("client_id", CLIENT)];
            fields.extend(service.map(|service| ("service", service)));
            let scopes = scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
            fields.extend([("scope", scopes.as_str()), ("refresh_token", token.reveal())]);
            let form = form(&fields);
            Ok(TokenRequest { realm: url, method: Method::POST, authorization: None, form: Some(form) })
        }
        credentials => {
            for (key, value) in service
                .iter()
                .map(|service| ("service", *service))
                .chain(scopes.iter().map(|scope| ("scope", &**scope)))
            {
                url.query_pairs_mut().append_pair(key, value);
            }
            let authorization = match credentials {
                Some(Credentials::Password { user, password }) => {
                    url.query_pairs_mut().append_pair("account", user).append_pair("client_id", CLIENT);
                    Some(basic(user, password))
                }
                Some(Credentials::IdentityToken(_) | Credentials::RegistryToken(_)) | None => None,
            };
            Ok(TokenRequest { realm: url, method: Method::GET, authorization, form: None })
        }
    }
}

/// Writes a form as `application/x-www-form-urlencoded`.
fn form(fields: &[(&str, &str)]) -> String {
    let mut url: Url = "form:".parse().expect("it is one");
    url.query_pairs_mut().extend_pairs(fields);
    url.query().unwrap_or_default().to_owned()
}

fn basic(user: &str, password: &Secret) -> HeaderValue {
    secret_header(&format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.reveal()))))
}

/// Makes a header that no log shows. What no header can hold is left out, and so lets nobody in.
fn secret_header(text: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// Reads a token server's answer: what to show, and until when from `now` on.
pub(super) fn token(answer: &[u8], realm: &Url, now: Instant) -> Result<(HeaderValue, Instant), TokenError> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        token: Option<String>,
        #[serde(default)]
        access_token: Option<String>,
        #[serde(default)]
        expires_in: Option<u64>,
    }
    let none = || {
        let mut realm = realm.clone();
        realm.set_query(None);
        TokenError::NoToken { realm: realm.to_string() }
    };
    let answer: Answer = serde_json::from_slice(answer).map_err(|_| none())?;
    let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty()).ok_or_else(none)?;
    let seconds = answer.expires_in.filter(|seconds| *seconds > 0).unwrap_or(USUAL_SECONDS).min(86_400);
    let lasts = Duration::from_secs(seconds).saturating_sub(MARGIN);
    Ok((secret_header(&format!("Bearer {token}")), now + lasts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(scope: Option<&str>) -> Vec<Challenge> {
        let (realm, service) = ("https://auth.x/token?a=1".to_owned(), Some("reg x".to_owned()));
        vec![Challenge::Basic, Challenge::Bearer { realm, service, scope: scope.map(str::to_owned) }]
    }

    fn asked(credentials: Option<&Credentials>, is_safe: bool) -> Result<TokenRequest, TokenError> {
        let scopes = BTreeSet::from(["repository:a:pull".to_owned()]);
        let scope = bearer(Some("repository:b:pull"));
        match way(&scope, "", "x", credentials, &scopes, |_| is_safe)? {
            Way::Ask(request) => Ok(*request),
            Way::Show(header) => panic!("{header:?}"),
        }
    }

    #[test]
    fn a_token_server_is_asked_for_all_scopes_with_or_without_a_password() {
        let request = asked(None, false).unwrap();
        let query = "a=1&service=reg+x&scope=repository%3Aa%3Apull&scope=repository%3Ab%3Apull";
        assert_eq!((request.realm.query(), request.authorization), (Some(query), None));
        let password = Credentials::Password { user: "me".to_owned(), password: Secret::new("p:w") };
        let request = asked(Some(&password), true).unwrap();
        assert_eq!(request.authorization.unwrap(), "Basic bWU6cDp3");
        assert!(request.realm.query().unwrap().ends_with("&account=me&client_id=trice"));
        assert!(matches!(asked(Some(&password), false), Err(TokenError::Realm { .. })));
    }

    #[test]
    fn an_identity_token_is_exchanged_and_a_registry_token_is_shown() {
        let request = asked(Some(&Credentials::IdentityToken(Secret::new("t&"))), true).unwrap();
        let form = request.form.unwrap();
        assert!(
            form.starts_with("grant_type=refresh_token&") && form.ends_with("&refresh_token=t%26"),
            "{form}"
        );
        let token = Credentials::RegistryToken(Secret::new("abc"));
        match way(&bearer(None), "", "x", Some(&token), &BTreeSet::new(), |_| false).unwrap() {
            Way::Show(header) => assert_eq!(header, "Bearer abc"),
            Way::Ask(_) => panic!("it is shown as it is"),
        }
    }

    #[test]
    fn without_a_password_or_a_known_way_nobody_gets_in() {
        let of = |challenges: &[Challenge]| {
            way(challenges, "Digest", "x", None, &BTreeSet::new(), |_| true).map(drop)
        };
        assert!(matches!(of(&[Challenge::Basic]), Err(TokenError::NoPassword { .. })));
        assert!(matches!(of(&[]), Err(TokenError::Unknown { .. })));
        let file = Challenge::Bearer { realm: "file:///etc/passwd".to_owned(), service: None, scope: None };
        assert!(matches!(of(&[file]), Err(TokenError::Realm { .. })));
    }

    #[test]
    fn tokens_have_two_names_and_end_also_if_nobody_says_when() {
        let (realm, now) = ("https://x/t".parse().unwrap(), Instant::now());
        let read = |text: &str| token(text.as_bytes(), &realm, now);
        let (header, until) = read(r#"{"token":"a","expires_in":300}"#).unwrap();
        assert_eq!((header.to_str().unwrap(), until), ("Bearer a", now + Duration::from_secs(295)));
        let (header, until) = read(r#"{"access_token":"b"}"#).unwrap();
        assert_eq!((header.to_str().unwrap(), until), ("Bearer b", now + Duration::from_secs(55)));
        for bad in ["", "{}", r#"{"token":""}"#, "[]"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let tokens = Tokens::default();
        tokens.remember("x", BTreeSet::new(), header, Some(now));
        assert!(tokens.known("x", &BTreeSet::new(), now).is_none(), "it has ended");
        assert!(tokens.known("x", &BTreeSet::new(), now - MARGIN).is_some());
        assert!(tokens.known("y", &BTreeSet::new(), now - MARGIN).is_none());
    }
}

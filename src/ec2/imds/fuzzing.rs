//! The way in for `fuzz/`; in no program.

use super::Credentials;
use super::shape;

/// What was made of one body by every reader of answers.
#[derive(Debug)]
pub struct Shapes {
    /// A session token.
    pub token: Option<String>,
    /// Words that go on into paths: numbers of keys, names of devices, a role.
    pub paths: Vec<String>,
    /// Other words, each one line.
    pub words: Vec<String>,
    /// Keys, a line each.
    pub keys: Vec<String>,
    /// A host name.
    pub host_name: Option<String>,
    /// A region.
    pub region: Option<String>,
    /// A role's credentials, or the code with which they are refused.
    pub credentials: Option<Result<Credentials, String>>,
}

/// Reads one body as each kind of answer.
pub fn shapes(body: &[u8]) -> Shapes {
    let lists = [shape::key_numbers(body), shape::device_names(body)].into_iter().flatten();
    let role = shape::role(body).filter(|role| !role.is_empty());
    let words = [shape::instance_id(body), shape::region(body), shape::device(body)];
    Shapes {
        token: shape::token(body),
        paths: lists.flatten().chain(role).collect(),
        words: words.into_iter().flatten().collect(),
        keys: shape::public_keys(body).unwrap_or_default(),
        host_name: shape::host_name(body).flatten(),
        region: shape::region(body),
        credentials: shape::credentials(body),
    }
}

/// What an error may say of a body.
pub fn describe(body: &[u8], token: &str) -> String {
    shape::describe(body, token)
}

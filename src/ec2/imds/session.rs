//! A session: the endpoint that answered, its token, and requests that are repeated while
//! that may help.
//!
//! Repeated is what passes: no connection, no answer in time, 429 and 5xx. Any other
//! answer is an answer. A token that ran out is asked for again, once a request.

use super::clock::Clock;
use super::endpoint::{self, Endpoint, Missed};
use super::error::{ImdsError, Kind};
use super::wire::{SMALL, Wire};
use super::{Credentials, Settings, shape};
use crate::config::value;
use std::collections::BTreeMap;
use std::slice;

/// The most bytes of user-data that are read. EC2 takes 16,384 at a launch; what is
/// longer came from somewhere else.
const LONGEST_USER_DATA: u64 = 64 * 1024;

const USER_DATA: &str = "/latest/user-data";
const INSTANCE_ID: &str = "/latest/meta-data/instance-id";
const REGION: &str = "/latest/meta-data/placement/region";
const DEVICES: &str = "/latest/meta-data/block-device-mapping/";
const LOCAL_HOSTNAME: &str = "/latest/meta-data/local-hostname";
const KEYS: &str = "/latest/meta-data/public-keys/";
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

/// A conversation with the service.
pub struct Session {
    wire: Wire,
    clock: Clock,
    endpoint: Endpoint,
    token: String,
}

impl Session {
    /// Gets a token from the first endpoint that gives one. All are tried in turn, again
    /// and again, until one does, one refuses, or the time is up.
    ///
    /// # Errors
    /// As [`super::collect`].
    pub fn open(settings: &Settings) -> Result<Self, ImdsError> {
        let mut endpoints = Vec::new();
        for text in &settings.endpoints {
            let base = value::endpoint(text).ok_or_else(|| Kind::Endpoint.seen(text))?;
            endpoints.push(Endpoint::new(base));
        }
        if endpoints.is_empty() {
            return Err(Kind::Endpoint.seen("none is given"));
        }
        let wire = Wire::new();
        let mut clock = Clock::start(settings);
        let (at, token) = endpoint::first_token(&wire, &mut clock, &mut endpoints)?;
        let endpoint = endpoints.swap_remove(at);
        Ok(Self { wire, clock, endpoint, token })
    }

    /// The instance's id.
    ///
    /// # Errors
    /// As [`super::collect`]; so for all that follow.
    pub fn instance_id(&mut self) -> Result<String, ImdsError> {
        self.required(INSTANCE_ID, "an instance id", shape::instance_id)
    }

    /// The instance's region.
    ///
    /// # Errors
    /// See there.
    pub fn region(&mut self) -> Result<String, ImdsError> {
        self.required(REGION, "a region", shape::region)
    }

    /// The user-data; `None` where the instance has none, or none of it is there.
    ///
    /// # Errors
    /// See there.
    pub fn user_data(&mut self) -> Result<Option<Vec<u8>>, ImdsError> {
        Ok(self.get(USER_DATA, LONGEST_USER_DATA)?.filter(|bytes| !bytes.is_empty()))
    }

    /// The volumes of the launch. One that vanishes between two requests is left out.
    ///
    /// # Errors
    /// See there.
    pub fn block_devices(&mut self) -> Result<BTreeMap<String, String>, ImdsError> {
        let listing = self.optional(DEVICES, "a listing of devices", shape::device_names)?;
        let mut devices = BTreeMap::new();
        for name in listing.unwrap_or_default() {
            let path = format!("{DEVICES}{name}");
            if let Some(device) = self.optional(&path, "a device name", shape::device)? {
                devices.insert(name, device);
            }
        }
        Ok(devices)
    }

    /// The name of the instance's first address in its network; `None` where the network gives
    /// names to nobody.
    ///
    /// # Errors
    /// See there.
    pub fn local_hostname(&mut self) -> Result<Option<String>, ImdsError> {
        Ok(self.optional(LOCAL_HOSTNAME, "a host name", shape::host_name)?.flatten())
    }

    /// The public keys of the launch; none where it was launched without a key pair.
    ///
    /// # Errors
    /// See there.
    pub fn public_keys(&mut self) -> Result<Vec<String>, ImdsError> {
        let listing = self.optional(KEYS, "a listing of keys", shape::key_numbers)?;
        let mut keys = Vec::new();
        for number in listing.unwrap_or_default() {
            let path = format!("{KEYS}{number}/openssh-key");
            keys.extend(
                self.optional(&path, "a public key", shape::public_keys)?.unwrap_or_default(),
            );
        }
        Ok(keys)
    }

    /// The credentials of the instance's role.
    ///
    /// # Errors
    /// See there; there is no role, or it gives none.
    pub fn credentials(&mut self) -> Result<Credentials, ImdsError> {
        let role = self.optional(ROLES, "a role's name", shape::role)?.unwrap_or_default();
        if role.is_empty() {
            return Err(Kind::NoRole.seen(format!("GET {}: no role", self.url(ROLES))));
        }
        let path = format!("{ROLES}{role}");
        let url = self.url(&path);
        let body = self.get(&path, SMALL)?;
        let body = body.ok_or_else(|| Kind::NoRole.seen(format!("GET {url}: 404")))?;
        match shape::credentials(&body) {
            Some(Ok(credentials)) => Ok(credentials),
            Some(Err(code)) => Err(Kind::RoleRefused.seen(format!("GET {url}: {code}"))),
            None => Err(Kind::Garbage.seen(format!("GET {url}: no credentials"))),
        }
    }

    fn url(&self, path: &str) -> String {
        self.endpoint.url(path)
    }

    fn required<T>(
        &mut self,
        path: &str,
        what: &str,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<T, ImdsError> {
        let found = self.optional(path, what, read)?;
        found.ok_or_else(|| {
            let url = self.url(path);
            Kind::Garbage.seen(format!("GET {url}: 404, where every instance has {what}"))
        })
    }

    fn optional<T>(
        &mut self,
        path: &str,
        what: &str,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, ImdsError> {
        let Some(body) = self.get(path, SMALL)? else {
            return Ok(None);
        };
        let found = read(&body).ok_or_else(|| {
            let (url, seen) = (self.url(path), shape::describe(&body, &self.token));
            Kind::Garbage.seen(format!("GET {url}: {seen}, not {what}"))
        })?;
        Ok(Some(found))
    }

    /// What is at `path`; `None` where nothing is (404).
    fn get(&mut self, path: &str, longest: u64) -> Result<Option<Vec<u8>>, ImdsError> {
        let url = self.url(path);
        let mut renewed = false;
        self.endpoint.begin();
        while let Some(allowed) = self.clock.allowance() {
            let answer = self.wire.get(&url, &self.token, longest, allowed);
            match self.endpoint.judge("GET", &url, answer) {
                Ok(answer) if answer.status == 200 => return Ok(Some(answer.body)),
                Ok(answer) if answer.status == 404 => return Ok(None),
                Ok(answer) if answer.status == 401 && !renewed => {
                    renewed = true;
                    let here = slice::from_mut(&mut self.endpoint);
                    (_, self.token) = endpoint::first_token(&self.wire, &mut self.clock, here)?;
                    self.endpoint.begin();
                    continue;
                }
                Ok(answer) => return Err(endpoint::refusal("GET", &url, answer.status)),
                Err(Missed::Final(e)) => return Err(e),
                Err(Missed::Passing(passing)) => self.endpoint.remember(passing, allowed),
            }
            if !self.clock.pause(self.endpoint.attempts() + 1) {
                break;
            }
        }
        Err(endpoint::gave_up("GET", path, slice::from_ref(&self.endpoint), &self.clock))
    }
}

//! The environ of PEP 3333: a prepared dict is copied, and what differs is written over it.

use super::names::{environ_key, Kind, Names, Values};
use super::text::latin1;
use crate::core::{spelled, Body, Request};
use crate::sys::Peer;
use hostler_wire::http1::{Framing, Version};
use hostler_wire::percent;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyString};
use std::net::IpAddr;

/// Keys that every environ has, written anew for each request.
struct Keys {
    method: Py<PyString>,
    path: Py<PyString>,
    query: Py<PyString>,
    raw_uri: Py<PyString>,
    request_uri: Py<PyString>,
    protocol: Py<PyString>,
    remote_addr: Py<PyString>,
    remote_port: Py<PyString>,
    input: Py<PyString>,
    content_length: Py<PyString>,
    host: Py<PyString>,
    queue_time: Py<PyString>,
    scheme: Py<PyString>,
    server_port: Py<PyString>,
}

/// What is the same for all requests of this worker.
pub struct Facts {
    pub multithread: bool,
    pub multiprocess: bool,
    pub software: String,
    pub errors: Py<PyAny>,
    pub file_wrapper: Py<PyAny>,
    /// Makes a socket of an `Upgrade`, for handshakes.
    pub raw_socket: Option<Py<PyAny>>,
    /// By mount: where its paths begin, and its SCRIPT_NAME.
    pub mounts: Vec<(Vec<u8>, String)>,
    /// SERVER_NAME and SERVER_PORT of each listener.
    pub servers: Vec<(String, String)>,
}

/// Makes environs; one in each app thread.
pub struct Environs {
    templates: Vec<Py<PyDict>>,
    keys: Keys,
    mounts: Vec<(Vec<u8>, Py<PyString>)>,
    script_name: Py<PyString>,
    names: Names,
    values: Values,
    http10: Py<PyString>,
    https: Py<PyString>,
    /// The last client address, which the next request often has too.
    address: Option<(IpAddr, Py<PyString>)>,
    scratch: Vec<u8>,
}

impl Environs {
    pub fn new(py: Python<'_>, facts: &Facts) -> PyResult<Self> {
        let key = |name: &str| PyString::intern(py, name).unbind();
        let templates = facts
            .servers
            .iter()
            .map(|server| template(py, facts, server))
            .collect::<PyResult<_>>()?;
        Ok(Self {
            templates,
            keys: Keys {
                method: key("REQUEST_METHOD"),
                path: key("PATH_INFO"),
                query: key("QUERY_STRING"),
                raw_uri: key("RAW_URI"),
                request_uri: key("REQUEST_URI"),
                protocol: key("SERVER_PROTOCOL"),
                remote_addr: key("REMOTE_ADDR"),
                remote_port: key("REMOTE_PORT"),
                input: key("wsgi.input"),
                content_length: key("CONTENT_LENGTH"),
                host: key("HTTP_HOST"),
                queue_time: key("hostler.queue_time"),
                scheme: key("wsgi.url_scheme"),
                server_port: key("SERVER_PORT"),
            },
            mounts: facts
                .mounts
                .iter()
                .map(|(prefix, script)| (prefix.clone(), PyString::new(py, script).unbind()))
                .collect(),
            script_name: key("SCRIPT_NAME"),
            names: Names::new(py),
            values: Values::new(),
            http10: key("HTTP/1.0"),
            https: key("https"),
            address: None,
            scratch: Vec::new(),
        })
    }

    /// The environ of `request`, with `input` as `wsgi.input`.
    pub fn build<'py>(
        &mut self,
        py: Python<'py>,
        request: &Request,
        input: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let environ = self.templates[request.listener].bind(py).copy()?;
        let head = &request.head;
        let method = self.values.text(py, request.method());
        put(&environ, &self.keys.method, &method)?;
        let target = self.values.text(py, request.target());
        put(&environ, &self.keys.raw_uri, &target)?;
        put(&environ, &self.keys.request_uri, &target)?;
        let prefix = self.mount(py, &environ, request)?;
        if prefix > 0 {
            let path = self.path(py, &head.path.of(&request.buffer)[prefix..]);
            put(&environ, &self.keys.path, &path)?;
        } else if head.path == head.target && !request.target().contains(&b'%') {
            put(&environ, &self.keys.path, &target)?;
        } else {
            let path = self.path(py, head.path.of(&request.buffer));
            put(&environ, &self.keys.path, &path)?;
        }
        if !head.query.is_empty() {
            let query = self.values.text(py, head.query.of(&request.buffer));
            put(&environ, &self.keys.query, &query)?;
        }
        if head.version == Version::Http10 {
            put(&environ, &self.keys.protocol, self.http10.bind(py))?;
        }
        put(&environ, &self.keys.input, input)?;
        let waited = request.started_ns.saturating_sub(request.queued_ns) as f64 / 1e9;
        put(&environ, &self.keys.queue_time, &PyFloat::new(py, waited))?;
        self.client(py, &environ, request.peer)?;
        self.fields(py, &environ, request)?;
        if matches!(head.framing, Framing::Chunked) && !matches!(request.body, Body::Awaited) {
            // Decoded: its length is known now (RFC 9112 §7.1.3), and apps such as Django read no further than it says.
            let length = latin1(py, itoa::Buffer::new().format(request.body.length()).as_bytes());
            put(&environ, &self.keys.content_length, &length)?;
        }
        self.asked(py, &environ, request)?;
        if let Some(authority) = request.asked.host.or(head.authority) {
            let host = self.values.text(py, authority.of(&request.buffer)); // it wins over Host (RFC 9112 §3.2.2)
            put(&environ, &self.keys.host, &host)?;
        }
        Ok(environ)
    }

    /// What trusted proxies say of the scheme and the port.
    fn asked(&self, py: Python<'_>, environ: &Bound<'_, PyDict>, request: &Request) -> PyResult<()> {
        if request.asked.https {
            put(environ, &self.keys.scheme, self.https.bind(py))?;
        }
        if let Some(port) = request.asked.port {
            let port = latin1(py, itoa::Buffer::new().format(port).as_bytes());
            put(environ, &self.keys.server_port, &port)?;
        }
        Ok(())
    }

    /// SCRIPT_NAME, and how much of the path it takes.
    fn mount(&self, py: Python<'_>, environ: &Bound<'_, PyDict>, request: &Request) -> PyResult<usize> {
        let Some((prefix, script)) = self.mounts.get(request.mount) else {
            return Ok(0);
        };
        let script = script.bind(py);
        if script.len()? > 0 {
            put(environ, &self.script_name, script)?;
        }
        Ok(spelled(prefix, request.head.path.of(&request.buffer)))
    }

    /// PATH_INFO: percent-decoded bytes as latin-1.
    fn path<'py>(&mut self, py: Python<'py>, raw: &[u8]) -> Bound<'py, PyString> {
        if !raw.contains(&b'%') {
            return self.values.text(py, raw);
        }
        self.scratch.clear();
        percent::decode(raw, &mut self.scratch);
        self.values.text(py, &self.scratch)
    }

    fn client(&mut self, py: Python<'_>, environ: &Bound<'_, PyDict>, peer: Peer) -> PyResult<()> {
        let Peer::Ip(ip, port) = peer else { return Ok(()) }; // the template has both empty
        if self.address.as_ref().is_none_or(|(known, _)| *known != ip) {
            self.address = Some((ip, PyString::new(py, &ip.to_string()).unbind()));
        }
        if let Some((_, text)) = &self.address {
            put(environ, &self.keys.remote_addr, text.bind(py))?;
        }
        let port = self.values.text(py, itoa::Buffer::new().format(port).as_bytes());
        put(environ, &self.keys.remote_port, &port)
    }

    fn fields(&mut self, py: Python<'_>, environ: &Bound<'_, PyDict>, request: &Request) -> PyResult<()> {
        let mut seen = 0u128;
        for field in &request.head.fields {
            let (name, value) = (field.name.of(&request.buffer), field.value.of(&request.buffer));
            if memchr::memchr(b'_', name).is_some() {
                continue; // X_Forwarded_For and X-Forwarded-For would meet in one key
            }
            let Some((slot, known)) = self.names.find(py, name) else {
                let key = environ_key(py, name);
                let repeated = environ.contains(&key)?;
                add(py, environ, &key, latin1(py, value), repeated.then_some(","))?;
                continue;
            };
            let (text, separator) = match known.kind {
                Kind::Hidden => continue,
                Kind::Cookie => (latin1(py, value), "; "),
                Kind::Plain => (self.values.text(py, value), ","),
            };
            let repeated = seen & (1 << slot) != 0;
            seen |= 1 << slot;
            add(py, environ, &known.key, text, repeated.then_some(separator))?;
        }
        Ok(())
    }
}

/// Writes one field, joined to an earlier one of the same name where there is one.
fn add(
    py: Python<'_>,
    environ: &Bound<'_, PyDict>,
    key: &Py<PyString>,
    value: Bound<'_, PyString>,
    joined_by: Option<&str>,
) -> PyResult<()> {
    let Some(separator) = joined_by else {
        return put(environ, key, &value);
    };
    match environ.get_item(key)? {
        Some(earlier) => {
            let joined = PyString::new(
                py,
                &format!("{}{separator}{}", earlier.str()?.to_str()?, value.to_str()?),
            );
            put(environ, key, &joined)
        }
        None => put(environ, key, &value),
    }
}

/// `environ[key] = value` without the checks that a `&str` key would need.
#[inline]
pub fn put(environ: &Bound<'_, PyDict>, key: &Py<PyString>, value: &Bound<'_, PyAny>) -> PyResult<()> {
    // SAFETY: three valid references to a dict and two objects; SetItem takes references of its own.
    match unsafe { ffi::PyDict_SetItem(environ.as_ptr(), key.as_ptr(), value.as_ptr()) } {
        0 => Ok(()),
        _ => Err(PyErr::fetch(environ.py())),
    }
}

/// The dict that each environ of one listener begins as. Every key that each request has stands in it already, so that
/// the copy has room and its keys keep their order.
fn template(py: Python<'_>, facts: &Facts, server: &(String, String)) -> PyResult<Py<PyDict>> {
    let environ = PyDict::new(py);
    let empty = PyString::intern(py, "");
    for (key, value) in [
        ("REQUEST_METHOD", "GET"),
        ("SCRIPT_NAME", ""),
        ("PATH_INFO", ""),
        ("QUERY_STRING", ""),
    ] {
        environ.set_item(PyString::intern(py, key), PyString::intern(py, value))?;
    }
    environ.set_item(PyString::intern(py, "RAW_URI"), &empty)?;
    environ.set_item(PyString::intern(py, "REQUEST_URI"), &empty)?;
    environ.set_item(
        PyString::intern(py, "SERVER_PROTOCOL"),
        PyString::intern(py, "HTTP/1.1"),
    )?;
    environ.set_item(PyString::intern(py, "SERVER_NAME"), &server.0)?;
    environ.set_item(PyString::intern(py, "SERVER_PORT"), &server.1)?;
    environ.set_item(PyString::intern(py, "SERVER_SOFTWARE"), &facts.software)?;
    environ.set_item(PyString::intern(py, "REMOTE_ADDR"), &empty)?;
    environ.set_item(PyString::intern(py, "REMOTE_PORT"), &empty)?;
    environ.set_item(PyString::intern(py, "wsgi.version"), (1, 0))?;
    environ.set_item(PyString::intern(py, "wsgi.url_scheme"), PyString::intern(py, "http"))?;
    environ.set_item(PyString::intern(py, "wsgi.input"), py.None())?;
    environ.set_item(PyString::intern(py, "wsgi.input_terminated"), true)?;
    environ.set_item(PyString::intern(py, "wsgi.errors"), &facts.errors)?;
    environ.set_item(PyString::intern(py, "wsgi.multithread"), facts.multithread)?;
    environ.set_item(PyString::intern(py, "wsgi.multiprocess"), facts.multiprocess)?;
    environ.set_item(PyString::intern(py, "wsgi.run_once"), false)?;
    environ.set_item(PyString::intern(py, "wsgi.file_wrapper"), &facts.file_wrapper)?;
    environ.set_item(PyString::intern(py, "hostler.queue_time"), 0.0)?;
    Ok(environ.unbind())
}

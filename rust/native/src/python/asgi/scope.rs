//! The scope: a prepared dict is copied, and what differs is written over it.

use super::super::environ::put;
use super::super::names::{Bytes, Pairs, Values};
use super::super::text::latin1;
use crate::core::Request;
use crate::sys::Peer;
use hostler_wire::http1::Version;
use hostler_wire::percent;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};
use std::net::IpAddr;

/// Keys of the scope.
struct Keys {
    asgi: Py<PyString>,
    http_version: Py<PyString>,
    method: Py<PyString>,
    scheme: Py<PyString>,
    path: Py<PyString>,
    raw_path: Py<PyString>,
    query_string: Py<PyString>,
    headers: Py<PyString>,
    client: Py<PyString>,
    server: Py<PyString>,
    state: Py<PyString>,
    extensions: Py<PyString>,
    subprotocols: Py<PyString>,
    http10: Py<PyString>,
    https: Py<PyString>,
    wss: Py<PyString>,
}

/// What is the same for all requests to one app.
pub struct AppFacts {
    /// root_path: where the app is mounted, behind the configured one.
    pub root: String,
    /// What its lifespan left: a dict that each scope has a shallow copy of.
    pub state: Py<PyDict>,
}

/// The dicts that scopes begin as.
struct Templates {
    http: Py<PyDict>,
    websocket: Py<PyDict>,
    http_asgi: Py<PyDict>,
    websocket_asgi: Py<PyDict>,
    http_extensions: Py<PyDict>,
    websocket_extensions: Py<PyDict>,
    state: Py<PyDict>,
}

/// Makes scopes.
pub struct Scopes {
    keys: Keys,
    templates: Vec<Option<Templates>>,
    servers: Vec<Py<PyAny>>,
    pairs: Pairs,
    bytes: Bytes,
    texts: Values,
    /// In front of every path: the configured root_path, which the proxy has taken off.
    front: String,
    address: Option<(IpAddr, Py<PyString>)>,
    scratch: Vec<u8>,
}

impl Scopes {
    pub fn new(
        py: Python<'_>,
        apps: &[Option<AppFacts>],
        servers: &[Py<PyAny>],
        front: &str,
        sends_files: bool,
    ) -> PyResult<Self> {
        let key = |name: &str| PyString::intern(py, name).unbind();
        Ok(Self {
            keys: Keys {
                asgi: key("asgi"),
                http_version: key("http_version"),
                method: key("method"),
                scheme: key("scheme"),
                path: key("path"),
                raw_path: key("raw_path"),
                query_string: key("query_string"),
                headers: key("headers"),
                client: key("client"),
                server: key("server"),
                state: key("state"),
                extensions: key("extensions"),
                subprotocols: key("subprotocols"),
                http10: key("1.0"),
                https: key("https"),
                wss: key("wss"),
            },
            templates: apps
                .iter()
                .map(|app| app.as_ref().map(|app| templates(py, app, sends_files)).transpose())
                .collect::<PyResult<_>>()?,
            servers: servers.iter().map(|server| server.clone_ref(py)).collect(),
            pairs: Pairs::new(py),
            bytes: Bytes::new(),
            texts: Values::new(),
            front: front.to_owned(),
            address: None,
            scratch: Vec::new(),
        })
    }

    /// The scope of `request`.
    pub fn build<'py>(&mut self, py: Python<'py>, request: &Request) -> PyResult<Bound<'py, PyDict>> {
        let Some(templates) = self.templates.get(request.mount).and_then(Option::as_ref) else {
            return Err(pyo3::exceptions::PyRuntimeError::new_err(
                "no ASGI app is mounted there",
            ));
        };
        let (template, asgi, extensions) = match request.websocket {
            true => (
                &templates.websocket,
                &templates.websocket_asgi,
                &templates.websocket_extensions,
            ),
            false => (&templates.http, &templates.http_asgi, &templates.http_extensions),
        };
        let scope = template.bind(py).copy()?;
        let head = &request.head;
        put(&scope, &self.keys.asgi, asgi.bind(py).copy()?.as_any())?;
        put(&scope, &self.keys.state, templates.state.bind(py).copy()?.as_any())?;
        if head.version == Version::Http10 {
            put(&scope, &self.keys.http_version, self.keys.http10.bind(py))?;
            put(&scope, &self.keys.extensions, &PyDict::new(py))?;
        } else {
            put(&scope, &self.keys.extensions, extensions.bind(py).copy()?.as_any())?;
        }
        if request.websocket {
            put(&scope, &self.keys.subprotocols, subprotocols(py, request)?.as_any())?;
        } else {
            let method = self.texts.text(py, request.method());
            put(&scope, &self.keys.method, &method)?;
        }
        if request.asked.https {
            let scheme = if request.websocket {
                &self.keys.wss
            } else {
                &self.keys.https
            };
            put(&scope, &self.keys.scheme, scheme.bind(py))?;
        }
        self.target(py, &scope, request)?;
        self.addresses(py, &scope, request)?;
        let headers = self.headers(py, request)?;
        put(&scope, &self.keys.headers, &headers)?;
        Ok(scope)
    }

    /// path, raw_path, query_string.
    fn target(&mut self, py: Python<'_>, scope: &Bound<'_, PyDict>, request: &Request) -> PyResult<()> {
        let head = &request.head;
        let raw = head.path.of(&request.buffer);
        if !head.query.is_empty() {
            let query = self.bytes.get(py, head.query.of(&request.buffer));
            put(scope, &self.keys.query_string, &query)?;
        }
        if self.front.is_empty() && raw.is_ascii() && !raw.contains(&b'%') {
            put(scope, &self.keys.path, &self.texts.text(py, raw))?;
            return put(scope, &self.keys.raw_path, &self.bytes.get(py, raw));
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(self.front.as_bytes());
        percent::decode(raw, &mut self.scratch);
        let path = PyString::new(py, &String::from_utf8_lossy(&self.scratch)); // U+FFFD for what is no UTF-8
        put(scope, &self.keys.path, &path)?;
        self.scratch.truncate(self.front.len());
        self.scratch.extend_from_slice(raw);
        put(scope, &self.keys.raw_path, &PyBytes::new(py, &self.scratch))
    }

    /// client and server.
    fn addresses(&mut self, py: Python<'_>, scope: &Bound<'_, PyDict>, request: &Request) -> PyResult<()> {
        if let Some(server) = self.servers.get(request.listener) {
            let server = server.bind(py);
            match request.asked.port {
                None => put(scope, &self.keys.server, server)?,
                Some(port) => {
                    let host = server.get_item(0)?;
                    let server = PyTuple::new(py, [host, port.into_pyobject(py)?.into_any()])?;
                    put(scope, &self.keys.server, server.as_any())?;
                }
            }
        }
        let Peer::Ip(ip, port) = request.peer else {
            return Ok(()); // the template has None
        };
        if self.address.as_ref().is_none_or(|(known, _)| *known != ip) {
            self.address = Some((ip, PyString::new(py, &ip.to_string()).unbind()));
        }
        let Some((_, text)) = &self.address else { return Ok(()) };
        let client = PyTuple::new(py, [text.bind(py).as_any(), port.into_pyobject(py)?.as_any()])?;
        put(scope, &self.keys.client, client.as_any())
    }

    /// The fields in their order, names in lower case.
    fn headers<'py>(&mut self, py: Python<'py>, request: &Request) -> PyResult<Bound<'py, PyList>> {
        let fields = &request.head.fields;
        // What was asked for wins over Host (RFC 9112 §3.2.2).
        let host = request.asked.host.or(request.head.authority);
        // SAFETY: a new list of that length; each place gets a reference of its own before anybody sees it.
        let list = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyList_New(fields.len() as ffi::Py_ssize_t))? };
        for (index, field) in fields.iter().enumerate() {
            let name = field.name.of(&request.buffer);
            let mut value = field.value.of(&request.buffer);
            if name.len() == 4 && name.eq_ignore_ascii_case(b"host") {
                value = host.map_or(value, |host| host.of(&request.buffer));
            }
            let pair = self.pairs.get(py, name, value)?;
            // SAFETY: the index is within the list; the reference is given away.
            unsafe { ffi::PyList_SET_ITEM(list.as_ptr(), index as ffi::Py_ssize_t, pair.into_ptr()) };
        }
        Ok(list.cast_into()?)
    }
}

/// Sec-WebSocket-Protocol as a list (RFC 6455 §11.3.4).
fn subprotocols<'py>(py: Python<'py>, request: &Request) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    let fields = request.head.fields.iter();
    for field in fields.filter(|field| {
        field
            .name
            .of(&request.buffer)
            .eq_ignore_ascii_case(b"sec-websocket-protocol")
    }) {
        for word in field.value.of(&request.buffer).split(|&byte| byte == b',') {
            let word = word.trim_ascii();
            if !word.is_empty() {
                list.append(latin1(py, word))?;
            }
        }
    }
    Ok(list)
}

/// What a server announces of HTTP. From "2.4" on Starlette waits for an error of `send()` to learn that the client has
/// left, which an idle stream never sees; with this version frameworks listen for http.disconnect.
const HTTP_VERSION: &str = "2.3";
/// The same of WebSockets: "2.5" has `reason` in websocket.disconnect.
const WEBSOCKET_VERSION: &str = "2.5";

/// Extensions by which an app sends a file in the place of http.response.body: a middleware that compresses bodies, and
/// knows no other message, loses them. The option `pathsend` announces them.
const FILES: [&str; 2] = ["http.response.pathsend", "http.response.zerocopysend"];
/// Those that an app takes part in by its own message beside the body; to lose one costs nothing else.
const ALWAYS: [&str; 2] = ["http.response.trailers", "http.response.early_hint"];

fn templates(py: Python<'_>, app: &AppFacts, sends_files: bool) -> PyResult<Templates> {
    let asgi = |version: &str| -> PyResult<Py<PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item(PyString::intern(py, "version"), PyString::intern(py, "3.0"))?;
        dict.set_item(PyString::intern(py, "spec_version"), PyString::intern(py, version))?;
        Ok(dict.unbind())
    };
    let files: &[&str] = if sends_files { &FILES } else { &[] };
    let extensions = |names: &[&str]| -> PyResult<Py<PyDict>> {
        let dict = PyDict::new(py);
        for name in names {
            dict.set_item(PyString::intern(py, name), PyDict::new(py))?;
        }
        Ok(dict.unbind())
    };
    Ok(Templates {
        http: template(py, app, false)?,
        websocket: template(py, app, true)?,
        http_asgi: asgi(HTTP_VERSION)?,
        websocket_asgi: asgi(WEBSOCKET_VERSION)?,
        http_extensions: extensions(&[&ALWAYS, files].concat())?,
        websocket_extensions: extensions(&["websocket.http.response"])?,
        state: app.state.clone_ref(py),
    })
}

/// Every key that each scope has, in its place already.
fn template(py: Python<'_>, app: &AppFacts, websocket: bool) -> PyResult<Py<PyDict>> {
    let scope = PyDict::new(py);
    let word = |text: &str| PyString::intern(py, text);
    scope.set_item(word("type"), word(if websocket { "websocket" } else { "http" }))?;
    scope.set_item(word("asgi"), py.None())?;
    scope.set_item(word("http_version"), word("1.1"))?;
    scope.set_item(word("scheme"), word(if websocket { "ws" } else { "http" }))?;
    if websocket {
        scope.set_item(word("subprotocols"), py.None())?;
    } else {
        scope.set_item(word("method"), word("GET"))?;
    }
    scope.set_item(word("path"), word("/"))?;
    scope.set_item(word("raw_path"), PyBytes::new(py, b"/"))?;
    scope.set_item(word("query_string"), PyBytes::new(py, b""))?;
    scope.set_item(word("root_path"), &app.root)?;
    scope.set_item(word("headers"), py.None())?;
    scope.set_item(word("client"), py.None())?;
    scope.set_item(word("server"), py.None())?;
    scope.set_item(word("state"), py.None())?;
    scope.set_item(word("extensions"), py.None())?;
    Ok(scope.unbind())
}

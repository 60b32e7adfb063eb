//! Which of the application's routes a request has met, as its framework says it in the environ.
//!
//! Owns where each framework leaves it. Runs on the request's thread, in `start_response`, and only where metrics are counted.
//! What an attribute of the application raises is none of its business.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use pyo3::{Bound, intern};

/// The pattern, such as `/users/<int:id>`; None where nobody has said it.
pub(crate) fn route_of<'py>(environ: &Bound<'py, PyDict>) -> Option<Bound<'py, PyString>> {
    let py = environ.py();
    let item = |key| environ.get_item(key).ok().flatten();
    let pattern = if let Some(route) = item(intern!(py, "pelton.route")) {
        route
    } else if let Some(request) = item(intern!(py, "werkzeug.request")) {
        // Flask's and Werkzeug's requests; None where nothing has matched.
        let rule = request.getattr_opt(intern!(py, "url_rule")).ok()??;
        rule.getattr_opt(intern!(py, "rule")).ok()??
    } else {
        item(intern!(py, "bottle.route"))?.getattr_opt(intern!(py, "rule")).ok()??
    };
    pattern.cast_into::<PyString>().ok()
}

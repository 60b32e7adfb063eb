//! What the front responds itself, without a worker: health and admin pages, files, pages out of the cache, redirects. Runs on the front's thread.

pub(crate) mod admin;
pub(crate) mod agent;
pub(crate) mod caching;
pub(crate) mod files;
pub(crate) mod health;
pub(crate) mod named_files;
pub(crate) mod redirect;

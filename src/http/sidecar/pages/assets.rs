//! Style sheet, script and icon. Their addresses change with their content, so browsers keep them.

use axum::http::header;
use axum::response::{IntoResponse, Response};

/// A file that pages need.
#[derive(Clone, Copy)]
pub(super) struct Asset {
    /// Its path.
    pub(super) path: &'static str,
    media_type: &'static str,
    text: &'static str,
}

/// How the pages look.
pub(super) const STYLE: Asset = Asset {
    path: "/assets/sidecar.css",
    media_type: "text/css; charset=utf-8",
    text: include_str!("../../../../assets/sidecar.css"),
};

/// What the pages do beyond what they do without scripts.
pub(super) const SCRIPT: Asset = Asset {
    path: "/assets/sidecar.js",
    media_type: "text/javascript; charset=utf-8",
    text: include_str!("../../../../assets/sidecar.js"),
};

/// The pages' icon.
pub(super) const ICON: Asset = Asset {
    path: "/assets/icon.svg",
    media_type: "image/svg+xml",
    text: include_str!("../../../../assets/icon.svg"),
};

impl Asset {
    /// Its path with a mark of its content.
    pub(super) fn address(&self) -> String {
        format!("{}?{:016x}", self.path, mark(self.text.as_bytes()))
    }

    /// Its content, to be kept for a year.
    pub(super) fn answer(&self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, self.media_type),
            (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        ];
        (headers, self.text).into_response()
    }
}

/// FNV-1a: tells versions of a file apart, no more.
const fn mark(bytes: &[u8]) -> u64 {
    let mut mark: u64 = 0xcbf2_9ce4_8422_2325;
    let mut n = 0;
    while n < bytes.len() {
        mark = (mark ^ bytes[n] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        n += 1;
    }
    mark
}

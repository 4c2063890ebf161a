//! placeholder
pub struct ChatTemplate {}

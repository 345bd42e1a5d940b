//! What is taken, and what is refused.

use super::*;

mod examples;
mod rules;

//! What the log has to say of settings that are taken without doing what they ask for.
//! For: the start of the server and CONFIG SET. May touch: rows and values.
//! Always: who sets what has no effect is told so, once per directive and server; who leaves it as it is
//! hears nothing, but for `save`, whose default asks for something, too.

use std::collections::HashSet;

use parking_lot::Mutex;

use super::settings::Settings;
use super::table::{Directive, Flags, TABLE};
use super::value::Value;

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Somebody may rely on what is not done.
    pub is_warning: bool,
    /// The line.
    pub text: String,
}

impl Remark {
    /// Writes it to the log.
    pub fn log(&self) {
        match self.is_warning {
            true => tracing::warn!("{}", self.text),
            false => tracing::info!("{}", self.text),
        }
    }

    /// Of a directive that was given.
    pub(super) fn without_effect(directive: Directive) -> Remark {
        let row = directive.row();
        let is_warning = row.flags.contains(Flags::RELIED_ON);
        let (front, end) = if is_warning { ("Warning: the", ": do not rely on it") } else { ("The", "") };
        Remark {
            is_warning,
            text: format!("{front} directive '{}' has no effect in this version{end}", row.name),
        }
    }
}

/// What there is to say of `directive` as it is set.
pub fn remark(settings: &Settings, directive: Directive) -> Option<Remark> {
    let row = directive.row();
    let signal = matches!(directive, Directive::ShutdownOnSigint | Directive::ShutdownOnSigterm);
    if signal {
        let word = ["save", "failover"].into_iter().find(|word| settings.includes(directive, word))?;
        let text =
            format!("Warning: '{}' asks for '{word}', which is not possible in this version", row.name);
        return Some(Remark { is_warning: true, text });
    }
    let asks = match directive {
        Directive::Save => !settings.save_points().is_empty(),
        _ => *settings.value(directive) != Value::default_of(row),
    };
    (row.is_setting() && row.flags.contains(Flags::NO_EFFECT) && asks)
        .then(|| Remark::without_effect(directive))
}

/// The directives of which a server's log has spoken.
#[derive(Debug, Default)]
pub struct Remarked(Mutex<HashSet<Directive>>);

impl Remarked {
    /// All that `settings` give cause for has been said.
    pub fn of(settings: &Settings) -> Remarked {
        let all = TABLE.iter().map(|row| row.directive);
        Remarked(Mutex::new(all.filter(|directive| remark(settings, *directive).is_some()).collect()))
    }

    /// What is to be said of `changed` now that `settings` are in force.
    pub fn news(&self, settings: &Settings, changed: &[Directive]) -> Vec<Remark> {
        let mut said = self.0.lock();
        let new = changed.iter().filter_map(|directive| {
            let remark = remark(settings, *directive)?;
            said.insert(*directive).then_some(remark)
        });
        new.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(settings: &mut Settings, directive: Directive, value: &str) {
        let words: Vec<&[u8]> = value.split(' ').map(str::as_bytes).collect();
        settings.assign(directive, &words).unwrap();
    }

    #[test]
    fn what_has_no_effect_is_told_when_it_is_set_and_once() {
        let mut settings = Settings::default();
        let remarked = Remarked::of(&settings);
        set(&mut settings, Directive::AppendOnly, "yes");
        set(&mut settings, Directive::AppendFsync, "always");
        set(&mut settings, Directive::Timeout, "7");
        set(&mut settings, Directive::RdbChecksum, "yes");
        let changed =
            [Directive::AppendOnly, Directive::AppendFsync, Directive::Timeout, Directive::RdbChecksum];
        let news = remarked.news(&settings, &changed);
        let lines: Vec<_> = news.iter().map(|it| (it.is_warning, it.text.as_str())).collect();
        assert_eq!(
            lines,
            [
                (
                    true,
                    "Warning: the directive 'appendonly' has no effect in this version: do not rely on it"
                ),
                (false, "The directive 'appendfsync' has no effect in this version"),
            ]
        );
        set(&mut settings, Directive::AppendFsync, "no");
        assert_eq!(remarked.news(&settings, &changed), []);
        assert_eq!(Remarked::of(&settings).news(&settings, &changed), []);
    }

    #[test]
    fn saving_is_not_promised_silently() {
        let mut settings = Settings::default();
        assert!(remark(&settings, Directive::Save).is_some_and(|it| it.is_warning));
        set(&mut settings, Directive::Save, "");
        assert_eq!(remark(&settings, Directive::Save), None);
        assert_eq!(remark(&settings, Directive::ShutdownOnSigterm), None);
        set(&mut settings, Directive::ShutdownOnSigterm, "nosave now force");
        assert_eq!(remark(&settings, Directive::ShutdownOnSigterm), None);
        set(&mut settings, Directive::ShutdownOnSigterm, "save now");
        let remark = remark(&settings, Directive::ShutdownOnSigterm).unwrap();
        let text = "Warning: 'shutdown-on-sigterm' asks for 'save', which is not possible in this version";
        assert_eq!(remark, Remark { is_warning: true, text: text.to_string() });
    }
}

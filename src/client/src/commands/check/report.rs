//! What a check found, and how it is shown.

use peapod_text::one_line;

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Works,
    /// It works otherwise than one may expect, or could be better.
    Notice,
    Fails,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) verdict: Verdict,
    /// In a word or two.
    pub(super) what: String,
    pub(super) found: String,
    /// What to do about it, if there is something.
    pub(super) way_out: Option<String>,
}

/// All findings of one subject, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CheckReport(pub(super) Vec<Finding>);

impl CheckReport {
    pub(super) fn works(&mut self, what: &str, found: impl Into<String>) {
        self.add(Verdict::Works, what, found.into(), None);
    }

    pub(super) fn notice(&mut self, what: &str, found: impl Into<String>, way_out: Option<&str>) {
        self.add(Verdict::Notice, what, found.into(), way_out);
    }

    pub(super) fn fails(&mut self, what: &str, found: impl Into<String>, way_out: &str) {
        self.add(Verdict::Fails, what, found.into(), Some(way_out));
    }

    fn add(&mut self, verdict: Verdict, what: &str, found: String, way_out: Option<&str>) {
        let way_out = way_out.map(str::to_owned);
        self.0.push(Finding { verdict, what: what.to_owned(), found, way_out });
    }

    /// Whether anything does not work.
    pub(super) fn has_failed(&self) -> bool {
        self.0.iter().any(|finding| finding.verdict == Verdict::Fails)
    }

    /// A line for each finding, and one more below for what to do.
    pub(super) fn text(&self) -> String {
        let width = self.0.iter().map(|finding| finding.what.chars().count()).max().unwrap_or_default();
        let line = |finding: &Finding| {
            let Finding { verdict, what, found, way_out } = finding;
            let mark = match verdict {
                Verdict::Works => "ok   ",
                Verdict::Notice => "note ",
                Verdict::Fails => "FAILS",
            };
            let way_out = way_out.as_ref().map(|text| format!("      {:width$}  → {}\n", "", one_line(text)));
            format!("{mark} {:width$}  {}\n{}", one_line(what), one_line(found), way_out.unwrap_or_default())
        };
        self.0.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::CheckReport;

    #[test]
    fn what_to_do_stands_below() {
        let mut report = CheckReport::default();
        report.works("kernel", "6.1");
        report.notice("AppArmor", "off", None);
        assert!(!report.has_failed());
        report.fails("a", "b\nc", "do something");
        assert!(report.has_failed());
        let wanted =
            "ok    kernel    6.1\nnote  AppArmor  off\nFAILS a         b\\nc\n                → do something\n";
        assert_eq!(report.text(), wanted);
    }
}

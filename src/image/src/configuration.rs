//! An image's configuration: what of it peapod uses. Pure.

use crate::bounds::{DESCRIPTOR_TEXT, ERROR_TEXT, LABEL_BYTES, LAYERS, RUN_BYTES, TEXT_OVERHEAD};
use crate::digest::Digest;
use crate::lenient::{self, Field, Names, Pairs, Shape, Text, Texts};
use crate::model::ImageConfig;
use crate::platform::ImagePlatform;
use peapod_text::collapsed;
use serde::de::{IgnoredAny, MapAccess};

/// An image's configuration.
#[derive(Debug)]
pub(crate) struct Configuration {
    pub(crate) diff_ids: Vec<Digest>,
    pub(crate) run: ImageConfig,
    pub(crate) target: ImagePlatform,
}

/// Room for as many diff ids as there may be layers.
const DIFF_IDS: usize = (LAYERS + 1) * (DESCRIPTOR_TEXT + TEXT_OVERHEAD);

/// Reads an image's configuration. What is wrong with it is said with the name of the field.
pub(crate) fn configuration(bytes: &[u8]) -> Result<Configuration, String> {
    let within = |problem| collapsed(&format!("its configuration is damaged: {problem}"), ERROR_TEXT);
    let Field::Is(top) = lenient::read::<ConfigDocument>(bytes).map_err(within)? else {
        return Err(within("it is no JSON object".to_owned()));
    };
    top.checked().map_err(within)
}

type TextField = Field<Text<RUN_BYTES>>;
type ListField = Field<Texts<RUN_BYTES>>;

#[derive(Default)]
struct ConfigDocument {
    os: Field<Text<DESCRIPTOR_TEXT>>,
    architecture: Field<Text<DESCRIPTOR_TEXT>>,
    variant: Field<Text<DESCRIPTOR_TEXT>>,
    rootfs: Field<RootFs>,
    config: Field<Run>,
}

#[derive(Default)]
struct RootFs {
    diff_ids: Field<Texts<DIFF_IDS>>,
}

#[derive(Default)]
struct Run {
    user: TextField,
    entrypoint: ListField,
    cmd: ListField,
    env: ListField,
    working_dir: TextField,
    stop_signal: TextField,
    labels: Field<Pairs<LABEL_BYTES>>,
    volumes: Field<Names<RUN_BYTES>>,
}

impl ConfigDocument {
    fn checked(self) -> Result<Configuration, String> {
        let os = self.os.or_default("os")?.0;
        let architecture = self.architecture.or_default("architecture")?.0;
        let variant = self.variant.or_default("variant")?.0;
        let diff_ids = self.rootfs.or_default("rootfs")?.diff_ids.or_default("rootfs.diff_ids")?.0;
        let diff_id = |text: &String| {
            Digest::parse(text).ok_or_else(|| format!("rootfs.diff_ids has {text:?}, which is no sha256 digest"))
        };
        let diff_ids = diff_ids.iter().map(diff_id).collect::<Result<_, _>>()?;
        let run = self.config.or_default("config")?.checked()?;
        Ok(Configuration { diff_ids, run, target: ImagePlatform::normalised(&os, &architecture, &variant) })
    }
}

impl Run {
    fn checked(self) -> Result<ImageConfig, String> {
        let signal = self.stop_signal.or_default("config.StopSignal")?.0;
        let config = ImageConfig {
            user: self.user.or_default("config.User")?.0,
            entrypoint: self.entrypoint.or_default("config.Entrypoint")?.0,
            cmd: self.cmd.or_default("config.Cmd")?.0,
            env: self.env.or_default("config.Env")?.0,
            working_dir: self.working_dir.or_default("config.WorkingDir")?.0,
            stop_signal: Some(signal).filter(|signal| !signal.is_empty()),
            // Only for show: what is of no use hurts nobody.
            labels: self.labels.usable().unwrap_or_default().0,
            volumes: self.volumes.or_default("config.Volumes")?.0,
            artifact_type: String::new(),
        };
        let bytes = config.run_bytes();
        if bytes > RUN_BYTES {
            let limit = RUN_BYTES >> 10;
            return Err(format!("config has {bytes} bytes in what a container is run with; peapod takes {limit} KiB"));
        }
        Ok(config)
    }
}

impl ImageConfig {
    /// Bytes of all that containers need of it, with what each text costs.
    fn run_bytes(&self) -> usize {
        let lists = [&self.entrypoint, &self.cmd, &self.env, &self.volumes];
        let texts = lists.into_iter().flatten().chain([&self.user, &self.working_dir]).chain(&self.stop_signal);
        texts.map(|text| text.len() + TEXT_OVERHEAD).sum()
    }
}

impl Shape for ConfigDocument {
    const WHAT: &'static str = "an object";

    fn object<'de, A: MapAccess<'de>>(mut members: A) -> Result<Field<Self>, A::Error> {
        let mut top = Self::default();
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "os" => top.os = members.next_value()?,
                "architecture" => top.architecture = members.next_value()?,
                "variant" => top.variant = members.next_value()?,
                "rootfs" => top.rootfs = members.next_value()?,
                "config" => top.config = members.next_value()?,
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Field::Is(top))
    }
}

impl Shape for RootFs {
    const WHAT: &'static str = "an object";

    fn object<'de, A: MapAccess<'de>>(mut members: A) -> Result<Field<Self>, A::Error> {
        let mut rootfs = Self::default();
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "diff_ids" => rootfs.diff_ids = members.next_value()?,
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Field::Is(rootfs))
    }
}

impl Shape for Run {
    const WHAT: &'static str = "an object";

    fn object<'de, A: MapAccess<'de>>(mut members: A) -> Result<Field<Self>, A::Error> {
        let mut run = Self::default();
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "User" => run.user = members.next_value()?,
                "Entrypoint" => run.entrypoint = members.next_value()?,
                "Cmd" => run.cmd = members.next_value()?,
                "Env" => run.env = members.next_value()?,
                "WorkingDir" => run.working_dir = members.next_value()?,
                "StopSignal" => run.stop_signal = members.next_value()?,
                "Labels" => run.labels = members.next_value()?,
                "Volumes" => run.volumes = members.next_value()?,
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Field::Is(run))
    }
}

#[cfg(test)]
mod tests {
    use super::configuration;
    use crate::digest::Digest;

    #[test]
    fn a_configuration_as_docker_writes_it_is_read() {
        let text = format!(
            r#"{{"architecture":"amd64","os":"linux","container_config":{{"Image":""}},"created":"2024-01-01T00:00:00Z",
            "config":{{"Hostname":"","User":"www-data:1004","ExposedPorts":{{"80/tcp":{{}}}},"AttachStdin":false,
            "Env":["PATH=/bin","A=b"],"Cmd":["sh","-c","x"],"Entrypoint":null,"Volumes":null,"WorkingDir":"",
            "OnBuild":null,"Labels":null,"StopSignal":"SIGQUIT","ArgsEscaped":true}},
            "history":[{{"created":"2024-01-01T00:00:00Z","created_by":"x","empty_layer":true}}],
            "rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
            Digest::of(b"")
        );
        let read = configuration(text.as_bytes()).unwrap();
        assert_eq!(read.diff_ids, [Digest::of(b"")]);
        assert_eq!(read.run.user, "www-data:1004");
        assert_eq!(read.run.cmd, ["sh", "-c", "x"]);
        assert_eq!(read.run.stop_signal.as_deref(), Some("SIGQUIT"));
        assert!(read.run.entrypoint.is_empty() && read.run.volumes.is_empty());
        let bare = r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
        assert!(configuration(bare.as_bytes()).unwrap().diff_ids.is_empty());
    }

    #[test]
    fn null_is_empty_and_what_is_missing_is_unsaid() {
        let text = r#"{"os":null,"rootfs":{"diff_ids":null},"history":5,"config":{"Volumes":{"/d":null,"/c":{}},
            "ExposedPorts":{"80/tcp":null},"Env":["A=b",null],"Labels":{"a":null,"b":7,"c":"d"},"User":null,
            "Healthcheck":[[[]]],"created":-1e999}}"#;
        let read = configuration(text.as_bytes()).unwrap();
        assert_eq!(read.run.volumes, ["/c", "/d"]);
        assert_eq!(read.run.env, ["A=b", ""]);
        assert_eq!(read.run.labels.len(), 2);
        assert!(read.target.os.is_empty() && read.target.architecture.is_empty() && read.run.user.is_empty());
        for nothing in ["{}", r#"{"config":null,"rootfs":null}"#] {
            assert!(configuration(nothing.as_bytes()).unwrap().diff_ids.is_empty());
        }
    }

    #[test]
    fn mistakes_name_their_field() {
        for (text, field) in [
            (r#"{"config":{"Env":"A=b"}}"#, "config.Env is not a list of texts"),
            (r#"{"config":{"Cmd":[1]}}"#, "config.Cmd is not a list of texts"),
            (r#"{"config":{"User":1000}}"#, "config.User is not a text"),
            (r#"{"config":{"Volumes":["/d"]}}"#, "config.Volumes is not an object"),
            (r#"{"config":[]}"#, "config is not an object"),
            (r#"{"os":5}"#, "os is not a text"),
            (r#"{"rootfs":{"diff_ids":["sha512:00"]}}"#, "rootfs.diff_ids has \"sha512:00\""),
            ("[]", "no JSON object"),
            ("{\"config\":", "EOF"),
        ] {
            let problem = configuration(text.as_bytes()).unwrap_err();
            assert!(problem.contains(field) && problem.starts_with("its configuration"), "{text}: {problem}");
        }
    }

    #[test]
    fn what_a_configuration_costs_is_bounded() {
        let many = |count: usize, item: &str| vec![item; count].join(",");
        let labels: Vec<_> = (0..300_000).map(|index| format!("\"{index}\":\"\"")).collect();
        let read = configuration(format!(r#"{{"config":{{"Labels":{{{}}}}}}}"#, labels.join(",")).as_bytes()).unwrap();
        assert!(read.run.labels.is_empty(), "labels are for show alone");
        for field in ["Env", "Cmd", "Entrypoint"] {
            let text = format!(r#"{{"config":{{"{field}":[{}]}}}}"#, many(300_000, "\"\""));
            let problem = configuration(text.as_bytes()).unwrap_err();
            assert!(problem.contains(&format!("config.{field} has more")), "{problem}");
        }
        // Each within its bound, together not.
        let some = many(2000, "\"A=b\"");
        let text = format!(r#"{{"config":{{"Env":[{some}],"Cmd":[{some}],"Entrypoint":[{some}]}}}}"#);
        assert!(configuration(text.as_bytes()).unwrap_err().contains("run with"));
        let ids = many(1_000_000, "\"\"");
        let problem = configuration(format!(r#"{{"rootfs":{{"diff_ids":[{ids}]}}}}"#).as_bytes()).unwrap_err();
        assert!(problem.contains("rootfs.diff_ids has more"), "{problem}");
    }
}

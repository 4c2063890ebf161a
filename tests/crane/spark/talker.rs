//! A language model that answers every prompt with speech: each token has one that follows it, as in a chain. Its codec is
//! the tiny one of the recipe.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;

use serde_json::json;

use super::folder::spark;

/// Width of the embeddings, whose random directions tell the tokens apart.
const WIDTH: usize = 64;
const VOCAB: usize = 166_000;
/// The codec's semantic tokens.
pub const CODES: u32 = 64;

const START_ACOUSTIC: u32 = 165_149;
const END_STYLE_LABEL: u32 = 165_153;
const END_ACOUSTIC: u32 = 165_155;
const START_GLOBAL: u32 = 165_150;
const END_GLOBAL: u32 = 165_156;
const START_SEMANTIC: u32 = 165_151;
const IM_END: u32 = 151_645;
const FIRST_GLOBAL: u32 = 151_665;
const FIRST_SEMANTIC: u32 = 155_761;

/// The voice that it names.
pub fn voice() -> Vec<u32> {
    (0..32).map(|i| i * 127 + 5).collect()
}

/// What it says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Habit {
    /// All semantic tokens in order, then it ends.
    Speaks,
    /// The first eight semantic tokens, then it ends.
    IsBrief,
    /// The last semantic token is followed by the first.
    NeverEnds,
    /// It ends where the semantic tokens would start.
    SaysNothing,
    /// It ends before it names a voice.
    HasNoVoice,
}

fn chain(habit: Habit) -> Vec<(u32, u32)> {
    let globals = voice().into_iter().map(|g| FIRST_GLOBAL + g);
    let mut ids = vec![END_STYLE_LABEL, START_ACOUSTIC, END_ACOUSTIC];
    if habit == Habit::HasNoVoice {
        ids.push(IM_END);
    }
    ids.push(START_GLOBAL);
    ids.extend(globals);
    ids.extend([END_GLOBAL, START_SEMANTIC]);
    if habit == Habit::SaysNothing {
        ids.push(IM_END);
    }
    let codes = if habit == Habit::IsBrief { 8 } else { CODES };
    ids.extend((0..codes).map(|s| FIRST_SEMANTIC + s));
    ids.push(match habit {
        Habit::NeverEnds => FIRST_SEMANTIC,
        _ => IM_END,
    });
    ids.windows(2).map(|pair| (pair[0], pair[1])).collect()
}

/// Numbers of about −1..1 that belong to `id`.
fn direction(id: u32) -> Vec<f32> {
    let mut state = u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
    (0..WIDTH)
        .map(|_| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// The whole folder with such a model, made once.
pub fn talker(habit: Habit) -> &'static Path {
    static FOLDERS: [OnceLock<tempfile::TempDir>; 5] = [const { OnceLock::new() }; 5];
    FOLDERS[habit as usize]
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            write(folder.path(), habit);
            folder
        })
        .path()
}

fn write(folder: &Path, habit: Habit) {
    let tiny = spark();
    for part in ["BiCodec", "wav2vec2-large-xlsr-53", "LLM"] {
        std::fs::create_dir_all(folder.join(part)).unwrap();
        for entry in std::fs::read_dir(tiny.join(part)).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), folder.join(part).join(entry.file_name())).unwrap();
        }
    }
    std::fs::copy(tiny.join("config.yaml"), folder.join("config.yaml")).unwrap();
    let config = json!({
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": WIDTH, "intermediate_size": 32,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": VOCAB,
        "max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "rope_theta": 1e6, "tie_word_embeddings": false,
        "hidden_act": "silu", "eos_token_id": IM_END, "bos_token_id": 151_643,
    });
    std::fs::write(folder.join("LLM/config.json"), config.to_string()).unwrap();
    let mut embed = vec![0f32; VOCAB * WIDTH];
    for (id, row) in embed.chunks_mut(WIDTH).enumerate() {
        row.copy_from_slice(&direction(id as u32));
    }
    // No two logits are equal.
    let mut head: Vec<f32> = embed.iter().map(|x| x / 100.0).collect();
    for (id, next) in chain(habit) {
        let row = &mut head[next as usize * WIDTH..][..WIDTH];
        row.iter_mut()
            .zip(direction(id))
            .for_each(|(to, x)| *to += x);
    }
    let zeros = |shape: &[usize]| vec![0f32; shape.iter().product()];
    let layer = |name: &str| format!("model.layers.0.{name}");
    let mut tensors = vec![
        (
            "model.embed_tokens.weight".to_string(),
            vec![VOCAB, WIDTH],
            embed,
        ),
        ("lm_head.weight".to_string(), vec![VOCAB, WIDTH], head),
        (
            "model.norm.weight".to_string(),
            vec![WIDTH],
            vec![1.0; WIDTH],
        ),
    ];
    for name in ["input_layernorm", "post_attention_layernorm"] {
        tensors.push((
            layer(&format!("{name}.weight")),
            vec![WIDTH],
            vec![1.0; WIDTH],
        ));
    }
    for (name, shape) in [
        ("self_attn.q_proj.weight", vec![WIDTH, WIDTH]),
        ("self_attn.q_proj.bias", vec![WIDTH]),
        ("self_attn.k_proj.weight", vec![WIDTH / 2, WIDTH]),
        ("self_attn.k_proj.bias", vec![WIDTH / 2]),
        ("self_attn.v_proj.weight", vec![WIDTH / 2, WIDTH]),
        ("self_attn.v_proj.bias", vec![WIDTH / 2]),
        ("self_attn.o_proj.weight", vec![WIDTH, WIDTH]),
        ("mlp.gate_proj.weight", vec![32, WIDTH]),
        ("mlp.up_proj.weight", vec![32, WIDTH]),
        ("mlp.down_proj.weight", vec![WIDTH, 32]),
    ] {
        let numbers = zeros(&shape);
        tensors.push((layer(name), shape, numbers));
    }
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (name, shape, numbers) in &tensors {
        let start = end;
        end += 4 * numbers.len();
        header.insert(
            name.clone(),
            json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]}),
        );
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut file = File::create(folder.join("LLM/model.safetensors")).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes())
        .unwrap();
    file.write_all(&header).unwrap();
    for (_, _, numbers) in &tensors {
        let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        file.write_all(&bytes).unwrap();
    }
}

#!/usr/bin/env bash
# The table of contents: one command a stage, from text files to answers, on what ships in the package.
#
#   recipes/tiny.sh [FOLDER]        a few minutes on two cores; FOLDER (runs/tiny) must not exist yet
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-runs/tiny}
data=src/bertworks/data

# 1. what the text holds becomes a vocabulary
bertworks vocab $data/novels --size 4096 --out "$out/vocab"

# 2. text and vocabulary become a corpus: ids, sentences, documents
bertworks corpus $data/novels --vocab "$out/vocab" --out "$out/corpus"

# 3. look at what training will read
bertworks inspect "$out/corpus" --samples 3

# 4. the corpus becomes a model that fills masks and tells whether one text follows another
bertworks pretrain recipes/tiny.toml --corpus "$out/corpus" --out "$out/pretrained"

# 5. ask it for words
bertworks fill "$out/pretrained" "She looked at [MASK] and said nothing."

# 6. the model and labelled rows become a classifier; mean and spread over two seeds
bertworks finetune --model "$out/pretrained" --train $data/banking77/train.csv --test $data/banking77/test.csv \
    --epochs 2 --seeds 2 --out "$out/intents"

# 7. how good it is, on rows it has not seen
bertworks evaluate "$out/intents" --data $data/banking77/test.csv

# 8. answers
echo "I lost my card yesterday, what now?" | bertworks predict "$out/intents" -

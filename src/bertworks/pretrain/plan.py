"""What a run would do, before it does anything: steps, tokens, memory, and a guess of the time."""

from bertworks.engine.matmul_rate import matmul_rate
from bertworks.engine.precision import choose_device, choose_dtype
from bertworks.model.config import BertConfig, number_of_parameters
from bertworks.pretrain.evaluate import unigram_log_probs
from bertworks.pretrain.recipe import PretrainRecipe
from bertworks.pretrain.setup import build_model, named_corpus, open_samples, run_length

_MATMUL_SHARE = 0.5  # of the machine's matmul rate that training reaches, for the guess


def describe_plan(recipe: PretrainRecipe) -> str:
    """The lines that `--dry-run` prints below the recipe; reads the corpus and builds the network, trains nothing.

    Raises BertworksError for whatever the run itself would refuse before its first step.
    """
    corpus = named_corpus(recipe)
    tokenizer = corpus.tokenizer()
    train, heldout, _ = open_samples(recipe, corpus, tokenizer)
    config = build_model(recipe, tokenizer, unigram_log_probs(corpus, train.documents)).config
    plan = train.plan(0)
    total, unit = run_length(recipe, train)
    device = choose_device(recipe.machine.device)
    dtype, why = choose_dtype(recipe.machine.dtype, device)
    per_token = flops_per_token(recipe, config)
    rate = matmul_rate(1024, 1024, 1024, dtype=dtype, device=device)
    speed = _MATMUL_SHARE * rate / per_token
    batch_tokens = recipe.train.batch_tokens
    tokens = {"tokens": total, "steps": total * batch_tokens, "seconds": total * speed}[unit]
    parameters = number_of_parameters(config)
    return "\n".join(
        [
            f"corpus: {corpus.number_of_documents:,} documents, {corpus.number_of_tokens:,} tokens; "
            f"trained on {len(train.documents):,}, held out {len(heldout.documents):,}",
            f"an epoch: {len(plan):,} samples, {int(plan.lengths.sum()):,} tokens with specials, "
            f"{train.number_of_batches(0, batch_tokens):,} updates",
            f"the run: about {tokens / 1e6:.1f} M tokens, {tokens / batch_tokens:,.0f} updates",
            f"parameters: {parameters:,}; weights, gradients and moments {parameters * 16 / 1e6:.0f} MB",
            f"computing in {why}; {per_token / 1e6:.1f} MFLOP a token, matmul rate {rate / 1e9:.0f} GFLOP/s",
            f"time, guessed at {_MATMUL_SHARE:.0%} of that rate: {tokens / speed / 60:.1f} minutes "
            f"({speed:,.0f} tokens/s)",
        ]
    )


def flops_per_token(recipe: PretrainRecipe, config: BertConfig) -> float:
    """Operations of a real token, both ways: 6 x the matrices it passes, the head for the masked share, attention."""
    width, inner = config.hidden_size, config.intermediate_size
    block = config.num_hidden_layers * (4 * width * width + 2 * width * inner)
    head = recipe.data.mask_probability * (config.vocab_size * width + width * width)
    attention = 12 * config.num_hidden_layers * width * recipe.train.length
    return 6.0 * (block + head) + attention

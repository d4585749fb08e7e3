"""Why a value is what it is: a closed list. Prose lives in `view`."""

from enum import StrEnum


class Reason(StrEnum):
    # resolve
    TAKEN_FROM_MODEL = "taken_from_model"  # the base model's own setting
    RATIO_TIMES_STEPS = "ratio_times_steps"  # warmup steps from a ratio
    STEPS_FROM_ROWS = "steps_from_rows"  # total steps from rows, batch and epochs
    LAYERS_FROM_FRACTION = "layers_from_fraction"  # freeze.fraction of the real layer count
    ROLES_OF_OBJECTIVE = "roles_of_objective"  # the columns that reach the loss
    SPLIT_BY_GROUP = "split_by_group"  # the rows have groups
    SPLIT_BY_POSITIVE = "split_by_positive"  # no groups: shared positives stay together
    DEFAULT_GATE = "default_gate"  # no gate given: must beat its own baseline
    FORMAT_BY_ENDING = "format_by_ending"  # of the data file's name
    NEGATIVES_OF_EVERY_ROW = "negatives_of_every_row"  # as many as the row with the fewest has
    SHARE_OF_RUN = "share_of_run"  # an interval: so many times in a run
    CHECKPOINT_AT_EVALUATION = "checkpoint_at_evaluation"  # the best evaluation needs its checkpoint
    SCHEDULE_WITHOUT_WARMUP = "schedule_without_warmup"  # `constant` starts at its peak
    COUNTED_PARAMETERS = "counted_parameters"  # total minus frozen, or the adapters
    FIRST_METRIC = "first_metric"  # of `evaluation.metrics`
    POWER_OF_TEST = "power_of_test"  # what so many queries can tell from noise
    WIDTH_AND_PREFIXES = "width_and_prefixes"  # full embedding and its Matryoshka prefixes
    POSITIONS_UP_TO_LIMIT = "positions_up_to_limit"  # of the base, but no more than fits usually
    BITS_OF_QLORA = "bits_of_qlora"  # a quantised base, and no number given
    SPLIT_BY_DOCUMENT = "split_by_document"  # questions about one document stay together
    SPLIT_AT_RANDOM = "split_at_random"  # the rows have neither groups nor documents
    ANSWERS_FOR_METRICS = "answers_for_metrics"  # as many as the metrics need
    # passes
    ONLY_CANDIDATE = "only_candidate"  # one backend remains
    FIRST_THAT_CAN = "first_that_can"  # several backends can; the first of the backend path
    PREFERRED_ON_DEVICE = "preferred_on_device"  # several backends can; this one is made for the device
    BACKEND_REJECTED = "backend_rejected"  # a candidate, and why not
    BACKEND_PASSED_OVER = "backend_passed_over"  # it could, but another one is taken, and why
    DEVICE_PRESENT = "device_present"  # the best device of the machine that the backend knows
    NO_ACCELERATOR = "no_accelerator"  # nothing but the CPU
    DEVICE_REJECTED = "device_rejected"  # on the machine, but not for this backend
    ONE_PROCESS_PER_DEVICE = "one_process_per_device"  # several devices share the batch equally
    ONE_PROCESS_PER_RUN = "one_process_per_run"  # the target lowers no more than one process
    BF16_INSTRUCTIONS = "bf16_instructions"  # the hardware multiplies bf16 natively
    NO_BF16_INSTRUCTIONS = "no_bf16_instructions"  # bf16 would be emulated, slower
    PRECISION_FITS_DEVICE = "precision_fits_device"
    PRECISION_REJECTED = "precision_rejected"  # a candidate, and why not
    ONE_DEVICE = "one_device"  # one CPU or one accelerator: one process
    BATCH_FITS_MEMORY = "batch_fits_memory"  # micro-batch equals the global batch
    BATCH_EXCEEDS_MEMORY = "batch_exceeds_memory"  # smaller micro-batch, same effective batch
    NEGATIVES_KEPT = "negatives_kept"  # cached loss: accumulation would lose in-batch negatives
    CACHED_LOSS_NOT_NEEDED = (
        "cached_loss_not_needed"  # the whole batch fits, or the objective has no such form
    )
    BATCH_REJECTED = "batch_rejected"  # a micro-batch that does not fit
    CHECKPOINTING_SAVES_MEMORY = "checkpointing_saves_memory"
    CHECKPOINTING_NOT_NEEDED = "checkpointing_not_needed"
    USABLE_CORES = "usable_cores"
    TOO_NARROW_TO_SHARE = "too_narrow_to_share"  # threads would wait for each other longer than they work
    MALLOC_RETURNS_MEMORY = "malloc_returns_memory"  # glibc keeps freed blocks otherwise
    ATTENTION_KERNEL = "attention_kernel"
    MEMORY_OF_MACHINE = "memory_of_machine"
    ENCODE_BATCH_FITS = "encode_batch_fits"
    SCORE_BATCH_FITS = "score_batch_fits"  # rows of one forward pass over held-out data
    THREADS_OF_DEVICE = "threads_of_device"  # an accelerator computes; the CPU only feeds it
    CHILD_ENVIRONMENT = "child_environment"  # variables that make the child process offline and repeatable
    # stages
    NO_ARTIFACT = "no_artifact"  # nothing with this key in the store
    ARTIFACT_MATCHES = "artifact_matches"  # same key, verified
    ARTIFACT_TAINTED = "artifact_tainted"  # same key, but its inputs changed while it was made
    VERSION_NOT_CURRENT = "version_not_current"  # registered before, and another version is current since
    EXTENDS = "extends"  # training goes on from the last state of a shorter one
    INPUT_CHANGED = "input_changed"  # an earlier run exists, but its key differs

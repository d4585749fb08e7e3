CREATE TABLE specs (
    spec_hash VARCHAR PRIMARY KEY,
    name VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    document JSON NOT NULL,
    first_run TIMESTAMPTZ NOT NULL
);
COMMENT ON TABLE specs IS 'What users asked for, one row per content';
COMMENT ON COLUMN specs.spec_hash IS 'sha256 over the canonical JSON of the spec, defaults filled in';
COMMENT ON COLUMN specs.document IS 'That canonical JSON';
COMMENT ON COLUMN specs.first_run IS 'Start of the first finished run of this spec';

CREATE TABLE plans (
    plan_digest VARCHAR PRIMARY KEY,
    spec_hash VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    backend VARCHAR,
    semantic_fingerprint VARCHAR,
    realisation_fingerprint VARCHAR,
    machine_digest VARCHAR,
    document JSON
);
COMMENT ON TABLE plans IS 'How a spec was to be run, one row per content';
COMMENT ON COLUMN plans.semantic_fingerprint IS 'Same value, same model: weights, data, objective, schedule, seed';
COMMENT ON COLUMN plans.realisation_fingerprint IS 'Same value, same way to get there on a machine';
COMMENT ON COLUMN plans.document IS 'The plan file';

CREATE TABLE runs (
    run_id VARCHAR PRIMARY KEY,
    spec_hash VARCHAR NOT NULL,
    plan_digest VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    verdict VARCHAR NOT NULL,
    started TIMESTAMPTZ NOT NULL,
    ended TIMESTAMPTZ NOT NULL,
    wall_seconds DOUBLE NOT NULL,
    metrics JSON NOT NULL,
    model_name VARCHAR,
    model_version VARCHAR,
    model_digest VARCHAR,
    machine JSON NOT NULL,
    versions JSON NOT NULL
);
COMMENT ON TABLE runs IS 'Finished runs, one row per run record on disk';
COMMENT ON COLUMN runs.verdict IS 'passed, failed or inconclusive';
COMMENT ON COLUMN runs.wall_seconds IS 'Of the stages that the run worked on, in all of its attempts';
COMMENT ON COLUMN runs.metrics IS '{"base": {metric: mean}, "tuned": {metric: mean}} over held-out queries';
COMMENT ON COLUMN runs.model_name IS 'Registered model that the run made; null when no gate let it through';
COMMENT ON COLUMN runs.versions IS 'Python and packages that the run used';

CREATE TABLE stages (
    run_id VARCHAR NOT NULL,
    stage VARCHAR NOT NULL,
    spec_hash VARCHAR NOT NULL,
    stage_key VARCHAR NOT NULL,
    action VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    seconds DOUBLE,
    PRIMARY KEY (run_id, stage)
);
COMMENT ON TABLE stages IS 'The stages of each run';
COMMENT ON COLUMN stages.stage_key IS 'Hash over everything that can change the output of the stage';
COMMENT ON COLUMN stages.action IS 'run or reuse';
COMMENT ON COLUMN stages.reason IS 'Why it had to run, or could be reused';
COMMENT ON COLUMN stages.seconds IS 'Null for a stage that was reused';

CREATE TABLE steps (
    run_id VARCHAR NOT NULL,
    step BIGINT NOT NULL,
    spec_hash VARCHAR NOT NULL,
    epoch DOUBLE,
    loss DOUBLE,
    learning_rate DOUBLE,
    grad_norm DOUBLE,
    eval JSON,
    PRIMARY KEY (run_id, step)
);
COMMENT ON TABLE steps IS 'The training curve of each run, at its logging steps';
COMMENT ON COLUMN steps.step IS 'Optimizer steps done';
COMMENT ON COLUMN steps.loss IS 'Mean training loss since the previous row';
COMMENT ON COLUMN steps.eval IS 'Metrics on the validation split, at evaluation steps';

CREATE TABLE query_scores (
    run_id VARCHAR NOT NULL,
    spec_hash VARCHAR NOT NULL,
    variant VARCHAR NOT NULL,
    dimension INTEGER NOT NULL,
    query_id VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    value DOUBLE NOT NULL,
    slices JSON,
    PRIMARY KEY (run_id, variant, dimension, query_id, metric)
);
COMMENT ON TABLE query_scores IS 'The evidence: every metric of every held-out query';
COMMENT ON COLUMN query_scores.variant IS 'base or tuned';
COMMENT ON COLUMN query_scores.dimension IS 'Embedding width that was scored; smaller ones are Matryoshka prefixes';
COMMENT ON COLUMN query_scores.slices IS '{slice: value} of the query';

CREATE TABLE artifacts (
    stage VARCHAR NOT NULL,
    stage_key VARCHAR NOT NULL,
    path VARCHAR NOT NULL,
    files INTEGER NOT NULL,
    size_bytes BIGINT NOT NULL,
    algorithm INTEGER NOT NULL,
    created TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (stage, stage_key)
);
COMMENT ON TABLE artifacts IS 'Stored outputs of stages';
COMMENT ON COLUMN artifacts.path IS 'Relative to the project';
COMMENT ON COLUMN artifacts.algorithm IS 'Version of the way in which the key was taken';

CREATE TABLE estimates (
    run_id VARCHAR PRIMARY KEY,
    spec_hash VARCHAR NOT NULL,
    plan_digest VARCHAR NOT NULL,
    machine_digest VARCHAR,
    model_digest VARCHAR,
    device VARCHAR,
    precision VARCHAR,
    train_steps BIGINT,
    predicted_peak_memory_bytes BIGINT,
    measured_peak_memory_bytes BIGINT,
    predicted_wall_seconds DOUBLE,
    measured_wall_seconds DOUBLE,
    predicted_stage_seconds JSON,
    measured_stage_seconds JSON
);
COMMENT ON TABLE estimates IS 'What the plan predicted against what the run measured; later plans calibrate on it';
COMMENT ON COLUMN estimates.predicted_wall_seconds IS 'Of the stages that ran';
COMMENT ON COLUMN estimates.measured_wall_seconds IS 'Of the stages that ran; null when an earlier attempt did a part of them';

CREATE TABLE models (
    name VARCHAR NOT NULL,
    version VARCHAR NOT NULL,
    digest VARCHAR NOT NULL,
    run_id VARCHAR,
    spec_hash VARCHAR,
    plan_digest VARCHAR,
    path VARCHAR NOT NULL,
    registered TIMESTAMPTZ NOT NULL,
    meta JSON NOT NULL,
    PRIMARY KEY (name, version)
);
COMMENT ON TABLE models IS 'Registered models; the folder holds the model, this row says where it came from';
COMMENT ON COLUMN models.digest IS 'sha256 over names and digests of the files of the folder';

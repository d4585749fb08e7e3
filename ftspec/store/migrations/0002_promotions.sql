CREATE TABLE promotions (
    promotion_id VARCHAR PRIMARY KEY,
    environment VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    number INTEGER NOT NULL,
    action VARCHAR NOT NULL,
    version VARCHAR NOT NULL,
    model_digest VARCHAR NOT NULL,
    space_id VARCHAR,
    run_id VARCHAR,
    from_version VARCHAR,
    from_digest VARCHAR,
    basis VARCHAR NOT NULL,
    verdict VARCHAR NOT NULL,
    metric VARCHAR,
    gain DOUBLE,
    gain_low DOUBLE,
    gain_high DOUBLE,
    comparison_key VARCHAR,
    flags JSON NOT NULL,
    note VARCHAR NOT NULL,
    promoted_by VARCHAR NOT NULL,
    promoted TIMESTAMPTZ NOT NULL,
    previous_id VARCHAR
);
COMMENT ON TABLE promotions IS 'Every move of an environment''s pointer, as ftspec.environments.json and .ftspec/promotions tell';
COMMENT ON COLUMN promotions.promotion_id IS 'Hash over the content of the promotion';
COMMENT ON COLUMN promotions.number IS 'Counts the moves of one model in one environment; clocks may go backwards, this does not';
COMMENT ON COLUMN promotions.action IS 'promote or rollback';
COMMENT ON COLUMN promotions.basis IS 'What it rests on: registered (the environment was empty), comparison, baseline (the run was measured against that very model), rollback';
COMMENT ON COLUMN promotions.verdict IS 'passed, or inconclusive where a flag allowed that';
COMMENT ON COLUMN promotions.gain IS 'Of the primary metric over what was there, with its interval';
COMMENT ON COLUMN promotions.comparison_key IS 'Key of the artefact of stage `promotion` that holds the comparison';
COMMENT ON COLUMN promotions.previous_id IS 'What a rollback goes back to';

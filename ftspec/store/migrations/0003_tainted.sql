ALTER TABLE runs ADD COLUMN tainted JSON DEFAULT '[]';
COMMENT ON COLUMN runs.tainted IS 'Inputs that changed while it ran, in words; such a run is not promoted';

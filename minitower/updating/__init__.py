"""Going on with a published model: full and incremental updates from click logs.

options             the options of both updates
full_update         the full update of a store, as a nightly job runs it
train_full_update   the same in memory: one epoch over a day's clicks
incremental_job     the incremental update of a store from click logs
incremental_session the same, step by step, with clicks from anywhere
incremental_update  the same in memory: clicks in time order move id embeddings
branch              the copy of the full model that it trains
step_buffer         clicks, cut into steps of one size
update_base         what both updates start from
training_plan       how they train
click_source        where the click logs are read from
positives           which clicks are positives
clicks_to_learn     the clicks that a full update trains on
entity_lists        lists of users, items and ids to retire
events              what an update reports while it runs
update_report       what an update did to a model
publishing          from a trainer to a store
streams             folders of click logs
"""

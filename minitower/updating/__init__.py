"""Going on with a published model: full and incremental updates from click logs. Chapter 13.

options             the options of both updates
full_update         the full update of a store, as a nightly job runs it
train_full_update   the same in memory: one epoch over a day's clicks
incremental_session the incremental update of a store, as a job or step by step
incremental_update  the same in memory: clicks in time order move id embeddings
branch              the copy of the full model that it trains
base                what both updates start from
plan                how they train: the training step and the rule of positives
entity_lists        lists of users, items, ids to retire and ids to forget
forgetting          a full version without some users
newer_data          data that is newer than a store, to measure the store on
report              what an update reports, and what it did to a model
publishing          from a trainer to a store
streams             folders of click logs
"""

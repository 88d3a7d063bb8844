"""The images Job: copies the files of campaigns whose rows are there, deletes those of campaigns that are gone."""

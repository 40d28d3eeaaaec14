"""What comes from outside, as odd as it may be: the service answers in good order, or not at all.

Within the suite each test tries the same few examples; ``just fuzz`` tries others, for as long as
it is told. What has failed once is kept in ``corpus/`` and tried again in every run.
"""

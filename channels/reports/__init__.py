"""What the providers' requests say, in the words of `schemas.delivery_report`; pure, for requests that are verified."""

-- Runs once, on an empty data folder. Each service makes its own tables when it starts.
CREATE DATABASE "order";
CREATE DATABASE inventory;
CREATE DATABASE payment;
CREATE DATABASE saga;

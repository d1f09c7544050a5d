-- Times are whole numbers here, and one that is none is found when it is read.
SELECT 1;

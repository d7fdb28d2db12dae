//! PURE planner of actuation: node state to actions; hashes, server patch, budgets, population
